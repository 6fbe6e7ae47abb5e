/**
 * What the ids of a user namespace are on the host: 0 is `hostId`, and so on for `size` ids, users and groups alike
 * (user_namespaces(7)).
 */
export interface IdRange {
  hostId: number;
  size: number;
}
