import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  parseDocument,
  type YAMLError,
} from 'yaml';
import type { Fault } from './fault.ts';

/** Keys and indexes from the root of a file. */
export type Path = readonly (string | number)[];
/** Line and column count from 1. */
export type Place = { line: number; column: number };

/**
 * One YAML file as plain data, with the place of every key and value. When something is wrong with the YAML itself, `data`
 * is null beside the faults: what stands after a broken line cannot be trusted. (A doubled key leaves the first one valid.)
 */
export type YamlFile = {
  file: string;
  data: unknown;
  faults: Fault[];
  /** Where a value (or its key) stands; for a path that is not there, its nearest parent. */
  place: (path: Path, what?: 'key' | 'value') => Place;
  /** The rest of the line after a key, to see what YAML took for a comment. */
  restOfLine: (path: Path) => string;
};

/** The parser needs up to 4 s for 1 MB of brackets; a catalogue of 5,000 services is about 1.5 MB. */
const maxBytes = 4 * 1024 * 1024;
/** Values that aliases may repeat: nine levels of nine aliases would be 4 * 10^8. */
const maxRepeated = 100_000;
const maxDepth = 64;
/** One missing quote can make a thousand complaints; the first few lead to it. */
const maxSyntaxFaults = 10;

const start: Place = { line: 1, column: 1 };

/** Parses one file of the tree. Never throws, whatever the bytes are. */
export const parseYaml = (file: string, bytes: Uint8Array): YamlFile =>
  parse(file, bytes, (text, options) => [parseDocument(text, options)])[0]!;

/** Parses a file of several documents; lines count from the top of the file. An empty file gives none. Never throws. */
export const parseYamlDocuments = (file: string, bytes: Uint8Array): YamlFile[] =>
  parse(file, bytes, (text, options) => {
    const documents = parseAllDocuments(text, options);
    return 'empty' in documents ? [] : documents;
  });

// uniqueKeys is off because the parser compares every pair of keys (quadratic); `values` below looks keys up instead.
const parserOptions = { prettyErrors: false, uniqueKeys: false } as const;
type ParserOptions = typeof parserOptions & { lineCounter: LineCounter };

function parse(
  file: string,
  bytes: Uint8Array,
  read: (text: string, options: ParserOptions) => readonly (Document | Document.Parsed)[],
): YamlFile[] {
  if (bytes.length > maxBytes) {
    return [unread(file, start, `this file has ${bytes.length} bytes, the limit is ${maxBytes}`, 'Shorten it.')];
  }
  const text = Buffer.from(bytes).toString('utf8');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const strange = text.search(/[\u0000-\u0008\u000e-\u001f\ufffd]/);
  if (strange >= 0) {
    return [unread(file, placeIn(text, strange), 'this is not text in UTF-8', 'Save the file as UTF-8 text.')];
  }
  const lines = new LineCounter();
  try {
    const documents = read(text, { ...parserOptions, lineCounter: lines });
    const place = (offset: number): Place => {
      const { line, col } = lines.linePos(offset);
      return { line: Math.max(line, 1), column: Math.max(col, 1) };
    };
    return documents.map((doc) => {
      const problems = [...doc.errors, ...doc.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
      if (problems.length > 0) return { ...unread(file), faults: syntaxFaults(file, text, problems, place) };
      return values(file, text, doc.contents, place);
    });
  } catch (cause) {
    // The parser is recursive: enough brackets exhaust the stack.
    if (!(cause instanceof RangeError)) throw cause;
    return [unread(file, start, 'this is nested too deeply to be read', 'Flatten it.')];
  }
}

/** A file that gave no data. */
export function unread(file: string, place?: Place, message = '', instead = ''): YamlFile {
  const faults = place ? [{ file, ...place, message, instead }] : [];
  return { file, data: null, faults, place: () => start, restOfLine: () => '' };
}

function placeIn(text: string, offset: number): Place {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: before[before.length - 1]!.length + 1 };
}

const advice: Partial<Record<YAMLError['code'], string>> = {
  BAD_INDENT: 'Indent the keys of one mapping alike, and close every bracket and brace that you open.',
  BLOCK_AS_IMPLICIT_KEY: 'Put text that holds ": " in quotes.',
  MULTIPLE_DOCS: 'Keep one document: remove the "---" in the middle.',
  TAB_AS_INDENT: 'Indent with spaces.',
  TAG_RESOLVE_FAILED: 'Remove the !tag; a secret is written { env: NAME } or { file: PATH }.',
  BAD_SCALAR_START: 'Put text that begins with this character in quotes.',
};

function syntaxFaults(file: string, text: string, problems: YAMLError[], place: (offset: number) => Place): Fault[] {
  const faults: Fault[] = [];
  const seen = new Set<number>();
  for (const problem of problems) {
    const at = place(problem.pos[0]);
    if (seen.has(at.line)) continue;
    seen.add(at.line);
    if (faults.length === maxSyntaxFaults) break;
    const swallowed = /[{[,:]\s*#\S/.test(text.split('\n', at.line)[at.line - 1] ?? '');
    const deep = problem.code === 'RESOURCE_EXHAUSTION';
    faults.push({
      file,
      ...at,
      message: deep ? 'this is nested too deeply to be read' : `this is not YAML: ${lowerFirst(problem.message)}`,
      instead: swallowed
        ? 'A # after a space begins a comment: put the text in quotes, for example "#sre".'
        : (advice[problem.code] ?? 'Mend this line or the one before it.'),
    });
    if (deep) break;
  }
  return faults;
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, '');

class TooMuch extends Error {}

/** Turns the nodes of a document into plain data, noting where each stands; aliases and merge keys are followed. */
function values(file: string, text: string, root: unknown, place: (offset: number) => Place): YamlFile {
  const faults: Fault[] = [];
  const where = new Map<string, { key: number; keyEnd: number; value: number }>();
  const anchors = new Map<string, Node>();
  const open = new Set<unknown>();
  let repeating = 0;
  let repeated = 0;
  const fault = (offset: number, message: string, instead: string) =>
    faults.push({ file, ...place(offset), message, instead });
  const startOf = (node: unknown, otherwise: number): number =>
    (node as { range?: readonly number[] } | null)?.range?.[0] ?? otherwise;

  const read = (node: unknown, path: Path, from: number): unknown => {
    if (repeating > 0) repeated += 1;
    if (repeated > maxRepeated || path.length > maxDepth || open.has(node)) {
      fault(from, 'this contains itself, or repeats itself without end', 'Write it out instead of using the alias.');
      throw new TooMuch();
    }
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target) {
        repeating += 1;
        const data = read(target, path, from);
        repeating -= 1;
        return data;
      }
      fault(from, `*${node.source} refers to nothing`, `Write &${node.source} before the value it shall repeat.`);
      return null;
    }
    if ((isScalar(node) || isMap(node) || isSeq(node)) && node.anchor) anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    if (!isMap(node) && !isSeq(node)) return null;
    open.add(node);
    const data = isSeq(node)
      ? node.items.map((item, i) => {
          const at = startOf(item, from);
          where.set(JSON.stringify([...path, i]), { key: at, keyEnd: at, value: at });
          return read(item, [...path, i], at);
        })
      : readMap(node, path, from);
    open.delete(node);
    return data;
  };

  const readMap = (node: { items: { key: unknown; value: unknown }[] }, path: Path, from: number) => {
    const data: Record<string, unknown> = {};
    const merged: Record<string, unknown>[] = [];
    for (const { key, value } of node.items) {
      const at = startOf(key, from);
      if (!isScalar(key) || key.value === null || typeof key.value === 'object' || key.value === '__proto__') {
        fault(at, 'this cannot be a key', 'Write a plain word before the colon.');
        continue;
      }
      if (key.value === '<<') {
        const parts = [read(value, path, startOf(value, at))].flat();
        for (const part of parts) if (typeof part === 'object' && part !== null) merged.push(part as typeof data);
        continue;
      }
      const name = String(key.value);
      if (Object.hasOwn(data, name)) {
        fault(at, `\`${name}\` stands here a second time`, 'Keep one of the two.');
        continue;
      }
      const valueAt = startOf(value, at);
      const keyEnd = key.range?.[1] ?? at;
      where.set(JSON.stringify([...path, name]), { key: at, keyEnd, value: valueAt });
      data[name] = read(value, [...path, name], valueAt);
    }
    // As YAML's merge key says: what stands in the mapping itself wins, then the earlier of the merged ones.
    for (const part of merged)
      for (const name of Object.keys(part)) if (!Object.hasOwn(data, name)) data[name] = part[name];
    return data;
  };

  const find = (path: Path) => {
    for (let n = path.length; n > 0; n--) {
      const found = where.get(JSON.stringify(path.slice(0, n)));
      if (found) return { found, whole: n === path.length };
    }
    return null;
  };
  let data: unknown = null;
  try {
    data = read(root, [], 0);
  } catch (cause) {
    if (!(cause instanceof TooMuch)) throw cause;
  }
  return {
    file,
    data,
    faults,
    place: (path, what = 'value') => {
      const hit = find(path);
      if (!hit) return start;
      // A missing key is shown at the key of its parent, or at the item of a list that lacks it.
      return place(what === 'key' || !hit.whole ? hit.found.key : hit.found.value);
    },
    restOfLine: (path) => {
      const hit = find(path);
      return hit ? (text.slice(hit.found.keyEnd).split('\n', 1)[0] ?? '') : '';
    },
  };
}
