// What a policy imports of Oriel is in tests/host when it is tested natively.
const ORIEL = /^oriel:introspection\/([a-z0-9-]+)(@.*)?$/;

export async function resolve(specifier, context, next) {
  const found = ORIEL.exec(specifier);
  if (!found) return next(specifier, context);
  const url = new URL(`../../tests/host/${found[1]}.mjs`, import.meta.url);
  return { url: url.href, shortCircuit: true };
}
