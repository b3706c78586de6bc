import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** A certificate of 127.0.0.1 that signed itself, and its key, as `tls.crt` and `tls.key` in a folder. */
export function ownCertificate(folder: string): { readonly certificate: string; readonly key: string } {
  const [certificate, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  const openssl = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=countersign', '-addext', 'subjectAltName=IP:127.0.0.1']; // prettier-ignore
  execFileSync('openssl', [...openssl, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  return { certificate, key };
}
