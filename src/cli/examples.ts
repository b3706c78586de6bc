import type { Command } from 'commander';

/** For the commands whose own help has none, by what is typed. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  check: [
    'countersign check --base main',
    'countersign check deploy/ --policies policies --output sarif > findings.sarif',
    'countersign check --worktree --explain',
  ],
  'hook pre-receive': ['countersign hook pre-receive --governance refs/heads/main'],
  'hook update': ['countersign hook update "$1" "$2" "$3"'],
  history: ['countersign history . --base v1.0 --output jsonl', 'countersign history ../shop --profile strict'],
  commits: ['countersign commits --base main', 'countersign commits ../shop --output csv > commits.csv'],
  environments: [
    'countersign environments --output yaml',
    'countersign environments . --discover > countersign.yaml',
    'countersign environments --url https://countersign.example.org',
  ],
  promote: ['countersign promote --from shop/staging --to shop/production'],
  approve: [
    'countersign approve shop/production',
    'countersign approve --request 7 --comment "looked at the plan" --yes',
    'countersign approve --withdraw 3f9a1c22d0b4',
  ],
  rebuild: [
    'countersign rebuild --config service.yaml --data /var/lib/countersign --reason "eu-1 burned down"',
    'countersign rebuild --target prod --environment shop/production --reason "moved" --output json',
  ],
  token: ['countersign token --login bo --role viewer --repository shop --environment "shop/*" --expires 30'],
  sessions: ['countersign sessions', 'countersign sessions --end bo --url https://countersign.example.org'],
  'exception request': [
    'countersign exception request images.pinned --env shop/production --object Deployment/shop/cart --expires 14 --ticket OPS-7 --reason "the vendor ships no digest yet"',
  ],
  'exception sign': ['countersign exception sign .countersign/exceptions/images-pinned.json'],
  'exception list': ['countersign exception list', 'countersign exception list --output csv > exceptions.csv'],
  rollback: ['countersign rollback shop/production --reason "cart fails its checks" --ticket OPS-9 --push'],
  'roll-forward': ['countersign roll-forward shop/production --reason "the cart is mended" --push'],
  pin: ['countersign pin shop/production --to v1.4 --reason "freeze over the holidays" --ticket OPS-3'],
  suspend: ['countersign suspend shop/production --until 2026-11-21T18:00:00Z --reason "migration by hand"'],
  resume: ['countersign resume shop/production --reason "the migration is done" --push'],
  blame: ['countersign blame deployment/cart -n shop'],
  orphans: ['countersign orphans -n shop', 'countersign orphans --target prod --output csv > orphans.csv'],
  explain: ['countersign explain 2f0c6a6e-6c39-4d2b-9f4c-0d3ad7c0a1f5 --trace'],
  serve: ['countersign serve --config service.yaml --data /srv/countersign/data'],
  admission: ['countersign admission --target prod --url https://countersign.example.org:4443 --authority ca.crt'],
  keys: ['countersign keys --data data', 'countersign keys --data data --vkey > trust.txt'],
  'keys rotate': ['countersign keys --data data rotate', 'countersign keys --data data rotate --finish'],
  export: [
    'countersign export --data data --to evidence.zip',
    'countersign export --data data --format proof --entry 48190 --to entry.tlog-proof',
  ],
  verify: [
    'countersign verify evidence.zip --trust trust.txt',
    'countersign verify evidence.zip --trust trust.txt --since checkpoint-june --no-replay',
  ],
  replay: [
    'countersign replay --data data --range 1000-1999',
    'countersign replay --bundle evidence.zip --with opa-wasm',
  ],
  fsck: ['countersign fsck --data data', 'countersign fsck --from /srv/log --trust trust.txt'],
  'log recover': ['countersign log recover --data data --from /srv/log'],
  'log continue': ['countersign log continue --data data --origin countersign.example.org/prod-2'],
  gc: ['countersign gc --data data --dry-run'],
  'legal-hold add': [
    'countersign legal-hold add case-2026-7 --data data --repository shop --since 2026-01-01 --reason "case 7" --by "C. Doe"',
  ],
  'legal-hold release': ['countersign legal-hold release case-2026-7 --data data --reason "settled" --by "C. Doe"'],
  'legal-hold list': ['countersign legal-hold list --data data'],
  'erase request': [
    'countersign erase request --data data --subject ann@example.org --also "Ann Example" --reason "art. 17" --ticket P-7',
  ],
  'erase apply': ['countersign erase apply erasure-P-7.json --data data'],
  'erase sign': ['countersign erase sign erasure-P-7.json --key ~/.ssh/id_ed25519'],
  witness: [
    'countersign witness --data witness --name witness.example.org/w1 --log "countersign.example.org/prod+5b2d…+AQ…"',
  ],
  'policy list': ['countersign policy list policies > rules.md'],
  'policy impact': ['countersign policy impact --policies policies --since 2026-07-01 --data data'],
  'policy import': ['countersign policy import --kubeconfig prod.yaml --to policies/gatekeeper'],
  completion: [
    'source <(countersign completion bash)   # in ~/.bashrc',
    'countersign completion zsh > ~/.zsh/completions/_countersign',
    'countersign completion fish > ~/.config/fish/completions/countersign.fish',
  ],
  demo: ['countersign demo --exit', 'countersign demo --kubeconfig ~/.kube/config --keep story'],
};

/** What is typed for a command: `policy test`. */
export function pathOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at?.parent; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}

/** Puts them at the end of the help. */
export function addExamples(command: Command): void {
  for (const below of command.commands) addExamples(below);
  const lines = EXAMPLES[pathOf(command)];
  // A command that was not loaded has nothing to show.
  if (!lines || (command.registeredArguments.length === 0 && command.options.length === 0)) return;
  command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

/** All that is printed with --help. */
export function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => void (text += part), getOutHasColors: () => false, getOutHelpWidth: () => 120 }); // prettier-ignore
  command.outputHelp();
  return text;
}

/** The examples of a command's help, its own and those above. */
export function examplesOf(command: Command): readonly string[] {
  return [...helpOf(command).matchAll(/^(?:Examples?:)? +((?:\S+ <\()?countersign [^\n]+)$/gm)].map(([, line]) =>
    // What stands apart says what it does.
    line.split(/ {3,}/)[0].trim(),
  );
}
