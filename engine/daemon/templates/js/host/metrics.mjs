// The right `metrics`, for native tests.
export const counters = new Map();

export function add(name, delta) {
  counters.set(name, (counters.get(name) ?? 0n) + delta);
}
