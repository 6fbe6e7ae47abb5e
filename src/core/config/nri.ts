import * as z from 'zod';

const absolutePath = z.string().regex(/^\/[^\0\n\r]*$/, 'must be an absolute path');
const seconds = (most: number) => z.number().min(0.1).max(most);

/** The table of plugins of the Node Resource Interface. */
export function nriTable() {
  return z
    .strictObject({
      enable: z.boolean().default(false).describe('start plugins and accept their connections'),
      socket: z
        .string()
        .regex(/^$|^\/[^\0\n\r]{1,106}$/, 'must be an absolute path of at most 107 bytes, or "" for none')
        .default('/var/run/nri/nri.sock')
        .describe('socket to which plugins connect, mode 0600; "" accepts only those of plugin_dir'),
      plugin_dir: absolutePath
        .default('/opt/nri/plugins')
        .describe(
          'directory of plugins that are started with the server: executable files with names such as "10-example"',
        ),
      plugin_config_dir: absolutePath
        .default('/etc/nri/conf.d')
        .describe(
          'directory of their configurations, "10-example.conf" or "example.conf", each in the format of its plugin',
        ),
      registration_timeout_seconds: seconds(3600)
        .default(5)
        .describe(
          'time for each step of the start of a plugin: to register, to be configured, to be told of what runs',
        ),
      request_timeout_seconds: seconds(3600)
        .default(2)
        .describe('time for the answer to an event; a plugin that exceeds it is disconnected'),
      validator: z
        .strictObject({
          enable: z.boolean().default(false).describe('refuse containers that plugins change against these rules'),
          reject_oci_hook_adjustment: z.boolean().default(false).describe('plugins must not add OCI hooks'),
          reject_runtime_default_seccomp_adjustment: z
            .boolean()
            .default(false)
            .describe('plugins must not replace the seccomp profile RuntimeDefault'),
          reject_unconfined_seccomp_adjustment: z
            .boolean()
            .default(false)
            .describe('plugins must not set a seccomp filter for unconfined containers'),
          reject_custom_seccomp_adjustment: z
            .boolean()
            .default(false)
            .describe('plugins must not replace a seccomp profile of the node (Localhost)'),
          reject_namespace_adjustment: z.boolean().default(false).describe('plugins must not change namespaces'),
          reject_sysctl_adjustment: z.boolean().default(false).describe('plugins must not change sysctls'),
          required_plugins: z
            .array(z.string().min(1))
            .default([])
            .describe('plugins, without their index, that must have been asked about every container'),
          tolerate_missing_plugins_annotation: z
            .string()
            .default('')
            .describe(
              'annotation with which a pod, or "KEY/container.NAME" for a container, does without them; "" for none',
            ),
        })
        .prefault({})
        .describe('rules for what plugins change'),
    })
    .prefault({})
    .describe('plugins of the Node Resource Interface (NRI)');
}
