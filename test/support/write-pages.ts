// Writes the pages of docs/ that are made from the code and have no command of their own (make docs).
import { writeFileSync } from 'node:fs';
import { graphqlPage } from '../../src/api/reference-page.js';
import { schemaText } from '../../src/app.module.js';
import { cliPage } from '../../src/cli/reference.js';
import { entriesPage } from '../../src/report/entries-page.js';
import { commandTree } from '../../src/cli/tree.js';

writeFileSync('docs/cli.md', cliPage(await commandTree(null)));
writeFileSync('docs/entries.md', entriesPage());
writeFileSync('docs/graphql.md', graphqlPage(schemaText()));
