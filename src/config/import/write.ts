import { existsSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Document, isMap, parseDocument, type Scalar, type YAMLMap } from 'yaml';
import { bySource, importedFolder, type Layer, layerFiles, layerName, layerText, readLayers } from './layer.ts';

/** What became of each layer's file. */
export type Written = { path: string; change: 'new' | 'changed' | 'same' | 'removed' };

/**
 * Puts the layers into `dir`/imported, whole files at once; with `dryRun` only says what would happen. A file imported
 * before that has nothing of a source any more loses its layer. Gives a sentence instead when a name is taken.
 */
export function writeLayers(
  dir: string,
  layers: readonly Layer[],
  files: readonly string[],
  { dryRun }: { dryRun: boolean },
): Written[] | { refused: string } {
  const folder = join(dir, importedFolder);
  const written: Written[] = [];
  const names = new Map<string, Layer>();
  const before = new Map(readLayers(dir).layers.map((layer) => [layer.name, layer]));
  for (const layer of layers) {
    const name = layerName(layer.file, layer.source);
    const other = names.get(name) ?? before.get(name);
    if (other && other.file !== layer.file)
      return { refused: `${layer.file} and ${other.file} would both be ${join(folder, name)}. Rename one of them.` };
    names.set(name, layer);
  }
  if (!dryRun && names.size > 0) mkdirSync(folder, { recursive: true });
  for (const [name, layer] of names) {
    const path = join(folder, name);
    const text = layerText(layer);
    const old = existsSync(path) ? readFileSync(path, 'utf8') : null;
    written.push({ path, change: old === null ? 'new' : old === text ? 'same' : 'changed' });
    if (!dryRun && old !== text) replaceFile(path, text);
  }
  for (const name of layerFiles(folder)) {
    const layer = before.get(name);
    if (names.has(name) || !layer || !files.includes(layer.file)) continue;
    written.push({ path: join(folder, name), change: 'removed' });
    if (!dryRun) unlinkSync(join(folder, name));
  }
  return written;
}

/** A reader sees the old text or the new one, never a half. */
export function replaceFile(path: string, text: string): void {
  const next = `${path}.${process.pid}.tmp`;
  writeFileSync(next, text);
  renameSync(next, path);
}

/**
 * `text` (a business-context.yaml, or nothing) with every fact of the layers that it does not hold yet, each followed by a
 * comment that says where it comes from. What stands there stays: values, comments, order.
 */
export function intoBusinessContext(text: string, layers: readonly Layer[]): string {
  const doc = text.trim() === '' ? new Document({ services: {} }) : parseDocument(text);
  if (!isMap(doc.get('services'))) doc.set('services', doc.createNode({}));
  const services = doc.get('services') as YAMLMap;
  services.flow = false;
  for (const layer of [...layers].sort(bySource)) {
    for (const [name, facts] of Object.entries(layer.services)) {
      if (!isMap(services.get(name))) services.set(doc.createNode(name), doc.createNode({}));
      const service = services.get(name) as YAMLMap;
      for (const [field, { value, from }] of Object.entries(facts)) {
        if (service.has(field)) continue;
        // A comment ends a line, which a mapping in braces cannot have everywhere.
        service.flow = false;
        const node = doc.createNode(value, { flow: true }) as Scalar;
        node.comment = ` ${layer.source}: ${from}`;
        service.set(doc.createNode(field), node);
      }
      if (service.items.length === 0) service.flow = true;
    }
  }
  return asWritten(text, doc.toString({ lineWidth: 0 }));
}

/** How far the two texts may drift apart before a line counts as new: a service written in braces becomes lines. */
const lookAhead = 40;

/** The printed text with every line that only the spacing changed put back as a person wrote it. */
function asWritten(before: string, printed: string): string {
  const bare = (line: string): string => line.replace(/\s+/g, '');
  const old = before.split('\n');
  const bareOld = old.map(bare);
  let next = 0;
  return printed
    .split('\n')
    .map((line) => {
      const found = bareOld.slice(next, next + lookAhead).indexOf(bare(line));
      if (found < 0) return line;
      next += found + 1;
      return old[next - 1]!;
    })
    .join('\n');
}
