import { ContainerAdjustment, Event, PluginService } from '../../../api/gen/nri.ts';
import type { ValidateContainerAdjustmentRequest } from '../../../api/gen/nri.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import { unknown } from '../../core/model/errors.ts';
import type { OciSpec } from '../../core/model/oci-runtime.ts';
import type { ContainerChange, PluginPod } from '../../core/model/plugins.ts';
import { defined } from '../../utils/object.ts';
import { applyAdjustment } from './adjust/apply-adjustment.ts';
import { AdjustmentCollector } from './adjust/collect-adjustment.ts';
import { Owners } from './adjust/owners.ts';
import { checkSupported } from './adjust/supported.ts';
import type { RuntimeVersion } from './adjust/supported.ts';
import { UpdateCollector } from './ask-changes.ts';
import { refusal } from './default-validator.ts';
import type { ValidatorRules } from './default-validator.ts';
import { toContainer } from './map/container.ts';
import { toPodSandbox } from './map/pod.ts';
import { fromLinuxResources } from './map/resources.ts';
import type { PluginList } from './plugin-list.ts';

/**
 * Asks every plugin about a container that is being created, then the validators about what they all want. Called within
 * `PluginList.run`.
 * @throws CriError UNKNOWN when a plugin or a validator refuses it, or two plugins want the same; UNIMPLEMENTED, INVALID_ARGUMENT
 *   for what cannot be done.
 */
export async function askToCreate(
  list: PluginList,
  options: { validator: ValidatorRules; ociRuntime: () => Promise<RuntimeVersion> },
  pod: PluginPod,
  record: ContainerRecord,
  spec: OciSpec,
): Promise<ContainerChange> {
  const pristine = toContainer(record, spec);
  const owners = new Owners();
  const collector = new AdjustmentCollector(pristine, owners);
  const others = new UpdateCollector(owners);
  const message = toPodSandbox(pod);
  const changing: string[] = [];
  const { plugins } = list;
  for (const plugin of plugins) {
    const request = { pod: message, container: collector.container };
    const response = await list.ask(plugin, Event.CREATE_CONTAINER, PluginService.createContainer, request);
    if (response === undefined) continue;
    const adjust = response.adjust ?? ContainerAdjustment.create({});
    await checkSupported(adjust, plugin.name, options.ociRuntime);
    collector.add(adjust, plugin.name);
    others.add(plugin.name, response, record.id);
    if (response.adjust !== undefined) changing.push(plugin.name);
  }
  const { adjustment } = collector;
  const instances = plugins.map(({ instance }) => ({ name: instance.base, index: instance.index }));
  const asked = instances.map(({ name }) => name);
  const reason = refusal(options.validator, { pod, container: record, owners, asked });
  if (reason !== undefined) throw unknown(reason);
  await validate(list, {
    pod: message,
    container: pristine,
    adjust: adjustment,
    update: others.updates,
    owners: owners.toMessage(),
    plugins: instances,
  });
  const of = `NRI plugins ${changing.join(', ')}`;
  const oomScoreAdj = adjustment.linux?.oomScoreAdj && Number(adjustment.linux.oomScoreAdj.value);
  return {
    ...others.changes,
    spec: applyAdjustment(spec, adjustment),
    limits: { ...fromLinuxResources(adjustment.linux?.resources, of), ...defined({ oomScoreAdj }) },
    cdiDevices: adjustment.CDIDevices.map(({ name }) => name),
    of,
  };
}

async function validate(list: PluginList, request: ValidateContainerAdjustmentRequest): Promise<void> {
  const event = Event.VALIDATE_CONTAINER_ADJUSTMENT;
  const method = PluginService.validateContainerAdjustment;
  const verdicts = await Promise.all(
    list.plugins
      .filter((plugin) => plugin.wants(event))
      .map(async (plugin) => {
        const verdict = await list.ask(plugin, event, method, request);
        // One that cannot answer must not be passed by.
        if (verdict === undefined) return `${plugin.name} does not answer`;
        return verdict.reject ? `${plugin.name}: ${verdict.reason}` : undefined;
      }),
  );
  const refusals = verdicts.filter((verdict) => verdict !== undefined);
  if (refusals.length > 0) throw unknown(`NRI plugins refuse the adjustment: ${refusals.join('; ')}`);
}
