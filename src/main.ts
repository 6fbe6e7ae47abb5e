#!/usr/bin/env node
import { handlers } from './backends/registry.ts';
import { runProgram } from './program.ts';

await runProgram(handlers);
