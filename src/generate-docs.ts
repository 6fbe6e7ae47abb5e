// Generates the pages of docs/ from the sources: `npm run docs`.
import { writeFile } from 'node:fs/promises';
import { handlers } from './backends/registry.ts';
import { cliMarkdown } from './cli/reference.ts';
import { declareHandlers } from './core/config/handlers.ts';
import { configurationMarkdown } from './core/config/reference.ts';

const docs = new URL('../docs/', import.meta.url);
declareHandlers(handlers);
await writeFile(new URL('cli.md', docs), cliMarkdown());
await writeFile(new URL('configuration.md', docs), configurationMarkdown());
