// Entry point of a worker of a search over states: makes the target and its machine once, then works on one search after another (src/explore/search/
// search-pool.ts).
import type { ExploreJob } from '../src/explore/pool.js';
import { type SearchReply, type SearchTask, SearchWorker } from '../src/explore/search/search-worker.js';
import type { Target } from '../src/explore/target.js';

type Job = SearchTask & Pick<ExploreJob, 'loader' | 'what' | 'target' | 'overrides'>;

interface Loader {
  loadTarget(what: string, options: Job['target'], overrides: Job['overrides']): Promise<Target>;
}

/** A pool searches one target. */
let searcher: Promise<SearchWorker> | undefined;

async function make({ loader, what, target, overrides }: Job): Promise<SearchWorker> {
  const { loadTarget } = (await import(loader)) as Loader;
  return new SearchWorker(await loadTarget(what, target, overrides));
}

export default async function search(job: Job): Promise<SearchReply> {
  searcher ??= make(job);
  return (await searcher).run(job);
}
