/** Cookies of the service, which only it reads and only on its own host. */
export class Cookies {
  readonly #prefix: string;

  /** Under TLS their names themselves say that nobody but this host may have set them (RFC 6265bis, `__Host-`). */
  constructor(private readonly secure: boolean) {
    this.#prefix = secure ? '__Host-countersign-' : 'countersign-';
  }

  /** Undefined where there is none. */
  read(header: string | undefined, name: string): string | undefined {
    const wanted = `${this.#prefix}${name}=`;
    const found = (header ?? '').split(';').find((pair) => pair.trimStart().startsWith(wanted));
    const value = found?.trim().slice(wanted.length);
    return value !== undefined && /^[\w.-]{1,4000}$/.test(value) ? value : undefined;
  }

  /** For a `set-cookie` header. Lax: whoever follows a link to the service is signed in, and no page elsewhere can post by it. */
  write(name: string, value: string, seconds: number): string {
    const flags = `Path=/; HttpOnly; SameSite=Lax; Max-Age=${Math.floor(seconds)}${this.secure ? '; Secure' : ''}`;
    return `${this.#prefix}${name}=${value}; ${flags}`;
  }

  clear(name: string): string {
    return this.write(name, '', 0);
  }
}
