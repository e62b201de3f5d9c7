// Has Node.js ask resolve.mjs where modules are.
import { register } from "node:module";

register("./resolve.mjs", import.meta.url);
