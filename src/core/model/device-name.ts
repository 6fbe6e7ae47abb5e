const part = '[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?';
const device = '[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?';

/** A kind of devices as the CDI specification writes it: `vendor/class`, such as `nvidia.com/gpu`. */
export const devicesKind = new RegExp(`^${part}/${part}$`);

/** The name of a device within its kind. */
export const deviceName = new RegExp(`^${device}$`);

/** A fully qualified name: `vendor/class=device`. */
export const qualifiedDeviceName = new RegExp(`^${part}/${part}=${device}$`);
