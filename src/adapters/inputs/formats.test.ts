import { formatOf } from './formats.js';

it.each([
  ['dev.Dockerfile', 'dockerfile'],
  ['Dockerfile.debug', 'dockerfile'],
  ['a/main.tf', 'hcl2'],
  ['prod.tfvars', 'hcl2'],
  ['.gitignore', 'ignore'],
  ['.env.prod', 'dotenv'],
  ['x.YML', 'yaml'],
  ['CODEOWNERS', 'codeowners'],
  ['plan.json', 'json'],
  ['x.cue', 'cue'],
  ['README.md', undefined],
  ['-', 'yaml'],
])('takes %s for %s, as Conftest does', (path, format) => expect(formatOf(path)).toBe(format));
