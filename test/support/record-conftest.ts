// Writes test/vectors/conftest/goldens.json anew: what Conftest itself says to each case. See `make goldens`.
import { writeFileSync } from 'node:fs';
import { conftestCases, GOLDENS, record } from './conftest-cases.js';

const goldens = record(conftestCases());
writeFileSync(GOLDENS, `[\n${goldens.map((golden) => JSON.stringify(golden)).join(',\n')}\n]\n`);
console.log(`${goldens.length} cases`);
