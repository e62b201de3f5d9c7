// The right `store`, for native tests: as much of it as the policy uses.
export const numbers = new Map();

export function compareAndSwapNumber(key, expected, value) {
  const found = numbers.get(key);
  if (found === expected) numbers.set(key, value);
  return found;
}
