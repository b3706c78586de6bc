/** How far a long command is, on standard error: a bar on a terminal, else a plain line every few seconds. */
export class Progress {
  private done = 0;
  private shown = performance.now();
  private readonly terminal = process.stderr.isTTY;
  private drawn = false;

  constructor(
    private readonly what: string,
    private readonly total: number,
  ) {}

  advance(by = 1): void {
    this.done += by;
    const now = performance.now();
    if (now - this.shown < (this.terminal ? 100 : 5000)) return;
    this.shown = now;
    if (this.terminal) this.draw();
    else process.stderr.write(`${this.done} of ${this.total} ${this.what}\n`);
  }

  /** Takes the bar away, so that it never mixes with what is printed after it. */
  end(): void {
    if (this.drawn) process.stderr.write('\r\x1b[K');
    this.drawn = false;
  }

  private draw(): void {
    const width = 30;
    const filled = this.total === 0 ? width : Math.min(width, Math.floor((this.done / this.total) * width));
    process.stderr.write(
      `\r\x1b[K${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${this.done} of ${this.total} ${this.what}`,
    );
    this.drawn = true;
  }
}
