import { readFileSync, statSync } from 'node:fs';
import { relative, sep } from 'node:path';
import { child, type Spot, text } from '../spot.ts';
import { parseYamlDocuments } from '../yaml-file.ts';
import { isBackstage, readBackstage } from './backstage.ts';
import { readCsv } from './csv.ts';
import { type Draft, emptyDraft, note, refuse } from './draft.ts';
import { isOpenSlo, readOpenSlo } from './openslo.ts';

/** A file that is not there or cannot be read: wrong usage, not a fault in it. */
export type Missing = { file: string; reason: string };

/**
 * Reads files of any of the three kinds at once: CSV by its name, the others by `apiVersion`. All files of one import see
 * each other, so that an API consumed in one and provided in another becomes a dependency.
 */
export function readCatalogues(files: readonly string[]): { draft: Draft; missing: Missing[] } {
  const draft = emptyDraft();
  const missing: Missing[] = [];
  const backstage: Spot[] = [];
  const openslo: Spot[] = [];
  for (const given of files) {
    const file = shownName(given);
    const bytes = readOrSay(given, missing);
    if (bytes === null) continue;
    if (/\.csv$/i.test(given)) readCsv(file, bytes, draft);
    else readYaml(file, bytes, backstage, openslo, draft);
  }
  readOpenSlo(openslo, draft);
  readBackstage(backstage, draft);
  return { draft, missing };
}

/** The path from where the command runs, the same on every machine that has the same checkout. */
function shownName(file: string): string {
  const from = relative('.', file);
  return (from === '' || from.startsWith('..') ? file : from).split(sep).join('/');
}

function readOrSay(file: string, missing: Missing[]): Buffer | null {
  try {
    if (statSync(file).isFile()) return readFileSync(file);
    missing.push({ file, reason: 'is not a file' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    missing.push({ file, reason: code === 'ENOENT' ? 'is not there' : `cannot be read (${code})` });
  }
  return null;
}

function readYaml(file: string, bytes: Buffer, backstage: Spot[], openslo: Spot[], draft: Draft): void {
  const documents = parseYamlDocuments(file, bytes);
  draft.faults.push(...documents.flatMap((yaml) => yaml.faults));
  let known = 0;
  let foreign = 0;
  for (const yaml of documents) {
    if (yaml.data === null) continue;
    const root: Spot = { yaml, path: [], value: yaml.data };
    const version = text(child(root, 'apiVersion')) ?? '';
    if (isBackstage(version)) backstage.push(root);
    else if (isOpenSlo(version)) openslo.push(root);
    else foreign += 1;
    if (isBackstage(version) || isOpenSlo(version)) known += 1;
  }
  const top = { file, line: 1, column: 1 };
  if (known > 0 && foreign > 0) note(draft, top, `${foreign} documents are of another kind`, 'They are passed over.');
  if (known === 0 && documents.every((yaml) => yaml.faults.length === 0))
    refuse(
      draft,
      top,
      'nothing in here is a catalogue that can be imported',
      'Give Backstage entities (apiVersion: backstage.io/v1alpha1), OpenSLO (apiVersion: openslo/v1), or a table whose name ends in .csv.',
    );
}
