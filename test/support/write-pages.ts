// Writes the pages of docs/ that are made from the code and have no command of their own (make docs).
import { writeFileSync } from 'node:fs';
import { cliPage } from '../../src/cli/reference.js';
import { commandTree } from '../../src/cli/tree.js';

writeFileSync('docs/cli.md', cliPage(await commandTree(null)));
