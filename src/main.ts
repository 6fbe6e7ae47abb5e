#!/usr/bin/env node
import { runProgram } from './program.ts';

await runProgram(async () => (await import('./backends/registry.ts')).handlers);
