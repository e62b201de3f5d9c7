// The right `alert`, for native tests.
export const alerts = [];

export function raise(severity, message, fields) {
  alerts.push([severity, message, fields]);
}
