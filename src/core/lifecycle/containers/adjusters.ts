import type { ContainerRecord } from '../../model/container.ts';
import { CriError } from '../../model/errors.ts';
import type { OciSpec } from '../../model/oci-runtime.ts';
import type { OtherChanges, Plugins } from '../../model/plugins.ts';
import { mergeLimits } from '../../model/resources.ts';
import { applyEdits } from '../oci/apply-edits.ts';
import { apparmorProfile } from '../oci/apparmor.ts';
import { attainableOomScore, limitedResources } from '../oci/resources.ts';
import type { ReadyPod } from '../pods/pod-service.ts';

/** A container that is being created. */
export interface Configured {
  /** Its limits are those of the configuration. */
  record: ContainerRecord;
  spec: OciSpec;
  /** What is to be changed about other containers. */
  others: OtherChanges;
}

/** Where adjusters look up and change things. */
export interface AdjusterPlace {
  pod: ReadyPod;
  plugins: Plugins;
  /** Follows links in the container's root filesystem. */
  resolve: (path: string) => Promise<string>;
}

/** A step of an adjuster that the container's root filesystem is ready for. */
type Adjust = (container: Configured, place: AdjusterPlace) => Promise<Configured>;

/**
 * Something besides the request that decides on a container's OCI configuration. It is called before anything is made, and
 * refuses then what it can refuse; what it returns is called when the rest of the configuration is known.
 */
type Adjuster = (record: ContainerRecord, pod: ReadyPod) => Promise<Adjust>;

/** Devices that the request names (CDI). @throws CriError as the registry and `applyEdits`. */
const cdiDevices: Adjuster = async ({ spec: { cdiDevices: names } }, { backend: { platform } }) => {
  const edits = await platform.devices.edits(names);
  return async (container, { resolve }) => {
    const spec = await applyEdits(platform.files, container.spec, edits, resolve);
    return { ...container, spec };
  };
};

/** The AppArmor profile. @throws CriError as `apparmorProfile`. */
const apparmor: Adjuster = async ({ spec: { security } }, { backend: { platform } }) => {
  const profile = await apparmorProfile(security.apparmor, platform.apparmor);
  return (container) => {
    const { spec } = container;
    if (profile === undefined) return Promise.resolve(container);
    return Promise.resolve({ ...container, spec: { ...spec, process: { ...spec.process, apparmorProfile: profile } } });
  };
};

/** Plugins, which see what the others have done. @throws CriError as the plugins, and as the limits and CDI devices they want. */
const plugins: Adjuster = (_record, pod) =>
  Promise.resolve(async (container, place) => {
    if (place.plugins.isIdle) return container;
    const { platform } = pod.backend;
    const change = await place.plugins.createContainer(pod, container.record, container.spec);
    const asked = container.record.spec;
    const resources = mergeLimits(asked.resources, change.limits);
    try {
      const edits = await platform.devices.edits(change.cdiDevices);
      const spec = await applyEdits(platform.files, change.spec, edits, place.resolve);
      spec.linux.resources = limitedResources(spec.linux.resources, resources, platform.facts);
      spec.process.oomScoreAdj = attainableOomScore(resources, platform.facts);
      return { record: { ...container.record, spec: { ...asked, resources } }, spec, others: change };
    } catch (error) {
      // What is wrong is not in the request.
      throw error instanceof CriError ? new CriError(error.code, `${change.of}: ${error.message}`) : error;
    }
  });

/**
 * What decides on a container's configuration besides the request and the image, in the order in which it is asked and in which its
 * changes apply: a later one sees, and may replace, what earlier ones have done.
 */
const ADJUSTERS: readonly Adjuster[] = [cdiDevices, apparmor, plugins];

/** Asks all adjusters about a container, before anything of it is made. @throws CriError as they do. */
export async function prepareAdjusters(record: ContainerRecord, pod: ReadyPod): Promise<Adjust> {
  const prepared: Adjust[] = [];
  for (const prepare of ADJUSTERS) prepared.push(await prepare(record, pod));
  return async (container, place) => {
    let adjusted = container;
    for (const adjust of prepared) adjusted = await adjust(adjusted, place);
    return adjusted;
  };
}
