import { createRequire } from 'node:module';

/**
 * A part of a document in pdfmake's own form (pdfmake.github.io/docs). The published types would bring a browser's globals into all of our
 * code, so these are but what is used here.
 */
export type Content = Readonly<Record<string, unknown>>;

interface PdfMake {
  setFonts(fonts: Readonly<Record<string, Readonly<Record<string, string>>>>): void;
  setUrlAccessPolicy(allows: (url: string) => boolean): void;
  setLocalAccessPolicy(allows: (path: string) => boolean): void;
  createPdf(document: Content): { getBuffer(): Promise<Uint8Array> };
}

/** Nothing is fetched, and no file is read but the typeface (Roboto, Apache License 2.0, which comes with pdfmake). */
export async function printPdf(document: Content): Promise<Uint8Array> {
  const require = createRequire(import.meta.url);
  const pdfmake = require('pdfmake') as PdfMake;
  pdfmake.setFonts(require('pdfmake/fonts/Roboto.js') as Parameters<PdfMake['setFonts']>[0]);
  pdfmake.setUrlAccessPolicy(() => false);
  pdfmake.setLocalAccessPolicy((path) => /[\\/]fonts[\\/]Roboto[\\/][\w-]+\.ttf$/.test(path));
  return pdfmake.createPdf(document).getBuffer();
}
