import { CountersignError } from '../../errors.js';
import type { SshFiles } from '../../source/repository.js';
import type { GitEnvironment } from './processes.js';

/** `ssh://user@host:port/path` or `user@host:path`: neither part may be taken for an option or for something of a shell's. */
const ADDRESS = /^(?:ssh:\/\/[\w.-]+@[A-Za-z0-9[][\w.:[\]-]*\/|[\w.-]+@[A-Za-z0-9][\w.-]*:(?!-))[^\s'"\\$`%]+$/;
/** ssh splits, expands and quotes the values of its options in ways of its own; these characters mean only themselves. */
const PLAIN_PATH = /^\/[\w@+=,./-]+$/;

export function isSshAddress(url: string): boolean {
  return url.startsWith('ssh://') || (!url.includes('://') && /^[^/]+@[^/]+:/.test(url));
}

/**
 * The environment of a git that fetches over SSH: with this key and these known hosts and nothing else of the machine's or the
 * user's, no agent, no question, no forwarding. A host whose key is not known is refused. Throws `config-invalid`.
 */
export function sshEnvironment(address: string, files: SshFiles | undefined): GitEnvironment {
  if (!ADDRESS.test(address)) {
    throw refused(`${JSON.stringify(address)} is no SSH address`, 'Write ssh://git@host/path or git@host:path');
  }
  if (!files) throw refused(`${address} needs a key and known hosts`, 'Give ssh: {keyFile: …, knownHosts: …}');
  for (const path of [files.keyFile, files.knownHosts]) {
    if (PLAIN_PATH.test(path)) continue;
    throw refused(`${JSON.stringify(path)} holds characters that ssh reads as something else`, 'Rename that file');
  }
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: files.knownHosts,
    GlobalKnownHostsFile: '/dev/null',
    UpdateHostKeys: 'no',
    IdentitiesOnly: 'yes',
    IdentityFile: files.keyFile,
    IdentityAgent: 'none',
    PreferredAuthentications: 'publickey',
    ClearAllForwardings: 'yes',
    ForwardAgent: 'no',
    ControlMaster: 'no',
    ControlPath: 'none',
    ConnectTimeout: '15',
    ServerAliveInterval: '15',
  };
  const words = Object.entries(options).map(([name, value]) => `-o ${name}=${value}`);
  return {
    protocols: ['ssh'],
    variables: { GIT_SSH_COMMAND: ['ssh', '-F', '/dev/null', ...words].join(' '), GIT_SSH_VARIANT: 'ssh' },
  };
}

/** What ssh says went wrong, in words for whoever configured it; undefined where it is not ssh that complains. */
export function sshReason(stderr: string): string | undefined {
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED/.test(stderr)) return 'its host key is not the one in knownHosts';
  if (/Host key verification failed/.test(stderr)) return 'its host key is not in knownHosts';
  if (/UNPROTECTED PRIVATE KEY FILE|bad permissions/.test(stderr)) return 'others may read keyFile: chmod 600 it';
  if (/Permission denied/.test(stderr)) return 'it does not accept this key';
  return /^ssh: (.*)$/m.exec(stderr)?.[1].trim();
}

function refused(message: string, remedy: string): CountersignError {
  return new CountersignError('config-invalid', message, { remedy });
}
