import type { Service } from '../../config/schema.ts';

/** A service with what business-context.yaml declares of it. */
export type Declared = { name: string; service: Service };

export const declaredOf = (names: Iterable<string>, catalogue: ReadonlyMap<string, Service>): Declared[] =>
  [...names].flatMap((name) => {
    const service = catalogue.get(name);
    return service ? [{ name, service }] : [];
  });
