import type { ContainerConfig } from '../../../api/gen/cri.ts';
import { qualifiedDeviceName } from '../../core/model/device-name.ts';
import { invalidArgument } from '../../core/model/errors.ts';

const ANNOTATION_PREFIX = 'cdi.k8s.io/';

/**
 * The unique names of the CDI devices that a container requests: those of CDI_devices, then those of its annotations
 * `cdi.k8s.io/…`, which are names separated by commas.
 * @throws CriError INVALID_ARGUMENT for a name that is not `vendor/class=device`.
 */
export function cdiDeviceNames(config: ContainerConfig): string[] {
  const names = new Set<string>();
  const add = (field: string, name: string) => {
    if (!qualifiedDeviceName.test(name)) {
      throw invalidArgument(field, `${JSON.stringify(name)} must look like "vendor.com/class=device"`);
    }
    names.add(name);
  };
  for (const [index, { name }] of config.CDIDevices.entries()) add(`config.CDI_devices[${String(index)}].name`, name);
  for (const [key, value] of Object.entries(config.annotations)) {
    if (!key.startsWith(ANNOTATION_PREFIX)) continue;
    for (const name of value.split(',')) add(`config.annotations[${JSON.stringify(key)}]`, name.trim());
  }
  return [...names];
}
