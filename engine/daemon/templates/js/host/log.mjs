// The right `log`, for native tests.
export function write(level, message) {
  console.log(`${level}: ${message}`);
}
