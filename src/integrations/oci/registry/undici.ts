/** The HTTP client of registries, in a module of its own so that it can be loaded late. */
export { Agent, EnvHttpProxyAgent, request } from 'undici';
