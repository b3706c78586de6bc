import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The installed Chromium, in which nothing of the machine's own is kept or used. */
export async function openBrowser(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] ?? places.find((place) => existsSync(place));
  if (executablePath === undefined) throw new Error('there is no Chromium: test/support/install-tools.sh browser');
  // Its sandbox does not work for root, as whom tests run in containers.
  return chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 });
}
