/** Of the names of all metrics, but those of the process and of Node.js, which have the names that stock dashboards know. */
export const PREFIX = 'proxmox_lxcri_';
