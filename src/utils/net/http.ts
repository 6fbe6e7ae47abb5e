/**
 * `createServer` of node:http. An import of that module would call its getters, and one of them loads Node.js's own fetch
 * and WebSocket clients: 60 ms of processor time at each start.
 */
export const { createServer } = process.getBuiltinModule('node:http');
