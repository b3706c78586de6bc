import { Option, type Command } from 'commander';
import { CountersignError } from '../errors.js';
import { print } from './output.js';

interface Options {
  readonly target: string;
  readonly url?: string;
  readonly service?: string;
  readonly authority: string;
  readonly namespace: string;
  readonly onFailure: 'fail' | 'ignore';
}

export function register(program: Command): void {
  program
    .command('admission')
    .description('print the ValidatingWebhookConfiguration that makes an API server ask the service')
    .requiredOption('--target <name>', 'the target of service.yaml whose cluster it is for')
    .option('--url <url>', 'where its API server reaches the service, as https://countersign.example.org:4443')
    .option('--service <namespace/name:port>', 'the same for a service that runs in that cluster')
    .requiredOption('--authority <file>', 'PEM of the authority that signed the certificate')
    .option('--namespace <name>', "Countersign's own, which is exempt", 'countersign')
    .addOption(
      new Option('--on-failure <what>', 'what becomes of writes while the service does not answer')
        .choices(['fail', 'ignore'])
        .default('fail'),
    )
    .action(admission);
}

async function admission({ target, url, service, authority, namespace, onFailure }: Options): Promise<void> {
  const { readFile } = await import('node:fs/promises');
  const { webhookConfiguration } = await import('../api/admission-manifest.js');
  const { yamlOf } = await import('../policy/gatekeeper/import.js');
  const text = await readFile(authority, 'utf8').catch((cause: unknown) => {
    throw new CountersignError('usage', 'the authority cannot be read', { place: { file: authority }, cause });
  });
  const options = { target, address: addressOf(url, service), authority: text, namespace };
  const manifest = webhookConfiguration({ ...options, onFailure: onFailure === 'fail' ? 'Fail' : 'Ignore' });
  await print(yamlOf(manifest, 'admission.yaml').trimEnd());
}

function addressOf(url: string | undefined, service: string | undefined) {
  const remedy = 'Give --url https://HOST:PORT, or --service NAMESPACE/NAME:PORT';
  if (url !== undefined && service === undefined) {
    if (URL.parse(url)?.protocol === 'https:') return { url };
    throw new CountersignError('usage', 'an API server calls webhooks by https only', { remedy });
  }
  const match = /^([a-z0-9-]+)\/([a-z0-9-]+):(\d{1,5})$/.exec(service ?? '');
  if (!match || url !== undefined)
    throw new CountersignError('usage', 'say where the service is, in one way', { remedy });
  return { namespace: match[1], name: match[2], port: Number(match[3]) };
}
