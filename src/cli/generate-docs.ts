// Writes the pages of docs/ that are made from the sources: `npm run docs`.
import { writeFile } from 'node:fs/promises';
import { configurationMarkdown } from '../core/config/reference.ts';
import { cliMarkdown } from './reference.ts';

const docs = new URL('../../docs/', import.meta.url);
await writeFile(new URL('cli.md', docs), cliMarkdown());
await writeFile(new URL('configuration.md', docs), configurationMarkdown());
