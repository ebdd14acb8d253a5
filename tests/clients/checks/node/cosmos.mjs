// Cosmos DB through @azure/cosmos.

import { randomUUID } from "node:crypto";
import { Admin, check, equal, main, refused, sdk, sleep, truth } from "./harness.mjs";

const { CosmosClient, BulkOperationType, PatchOperationType } = sdk("@azure/cosmos");
const RUN = randomUUID().slice(0, 8);

class World {
  constructor({ azure, admin }) {
    this.azure = azure;
    this.admin = new Admin(admin, "cosmos");
    this.client = this.connect();
    this.records = this.client.database(azure.database).container(azure.container);
  }

  connect(changes = {}) {
    // No retries: a check must see the service's own answer.
    const retryOptions = { maxRetryAttemptCount: 0, fixedRetryIntervalInMilliseconds: 0, maxWaitTimeInSeconds: 1 };
    const connectionPolicy = { enableEndpointDiscovery: false, retryOptions };
    const settings = { endpoint: this.azure.cosmos_endpoint, key: this.azure.cosmos_key, connectionPolicy };
    return new CosmosClient({ ...settings, ...changes });
  }

  async create(name, more = {}) {
    const id = `${RUN}-${name}`;
    return (await this.records.items.create({ id, pk: id, ...more })).resource;
  }

  item({ id, pk }) {
    return this.records.item(id, pk);
  }

  async read(item) {
    return (await this.item(item).read()).resource;
  }

  cleanUp() {
    return this.admin.restore();
  }
}

const user = (item) => Object.fromEntries(Object.entries(item).filter(([name]) => !name.startsWith("_")));
const ifMatch = (item) => ({ accessCondition: { type: "IfMatch", condition: item._etag } });

check(
  "An item is created once, read, replaced and deleted. [API] HTTP status codes: 409 for a second, no item for none.",
  async function an_item_lives_and_dies(world) {
    const item = await world.create("life", { n: 1 });
    equal(user(await world.read(item)), user(item));
    await refused({ code: 409 }, () => world.create("life"));
    await world.item(item).replace({ ...user(item), n: 2 });
    equal((await world.read(item)).n, 2);
    await world.item(item).delete();
    equal((await world.item(item).read()).statusCode, 404);
    await refused({ code: 404 }, () => world.item(item).delete());
  },
);

check(
  "A stale etag replaces nothing. [Guide] Optimistic concurrency control: If-Match.",
  async function a_stale_etag_replaces_nothing(world) {
    const item = await world.create("etag", { n: 1 });
    await world.item(item).replace({ ...user(item), n: 2 }, ifMatch(item));
    await refused({ code: 412 }, () => world.item(item).replace({ ...user(item), n: 3 }, ifMatch(item)));
    await refused({ code: 412 }, () => world.item(item).delete(ifMatch(item)));
    equal((await world.read(item)).n, 2);
  },
);

check(
  "Of many replaces with one etag exactly one wins. [Guide] Optimistic concurrency control.",
  async function of_many_replaces_one_wins(world) {
    const item = await world.create("race", { n: 0 });
    const replace = (n) => world.item(item).replace({ ...user(item), n }, ifMatch(item));
    const ended = await Promise.allSettled(Array.from({ length: 16 }, (_, at) => replace(at + 1)));
    const outcomes = ended.map((one) => one.reason?.code ?? 200).sort();
    equal(outcomes, [200, ...Array(15).fill(412)]);
  },
);

check(
  "Nested values, numbers as doubles, odd ids: all comes back. [Guide] Working with JSON in Azure Cosmos DB.",
  async function values_and_ids_come_back(world) {
    const payload = { a: [0.1, 1e21, -0.5, null, true, { b: [] }], "ü": "日本 😀", ttl: 5, id: "other", "": "" };
    for (const name of ["a b", "a%20b", "ä", "😀", "a&b=c;d,e", "(x)[y]{z}", "a+b"]) {
      const item = await world.create(name, { payload });
      equal([item.id, (await world.read(item)).payload], [`${RUN}-${name}`, payload]);
    }
  },
);

check(
  "A batch is whole or not at all. [Guide] Transactional batch operations: 424 for those that failed with another.",
  async function a_batch_is_whole_or_not_at_all(world) {
    const pk = `${RUN}-batch`;
    const create = (name) => ({ operationType: BulkOperationType.Create, resourceBody: { id: `${RUN}-${name}`, pk } });
    const done = await world.records.items.batch([create("b1"), create("b2")], pk);
    equal(done.result.map((one) => one.statusCode), [201, 201]);
    const broken = await world.records.items.batch([create("b3"), create("b1")], pk);
    equal(broken.result.map((one) => one.statusCode), [424, 409]);
    equal(await world.read({ id: `${RUN}-b3`, pk }), undefined);
  },
);

check(
  "Patch sets, and its condition holds it back. [Guide] Partial document update: conditional patch, 412.",
  async function a_patch_keeps_to_its_condition(world) {
    const item = await world.create("patch", { n: 1 });
    const operations = [{ op: PatchOperationType.set, path: "/n", value: 2 }];
    const condition = "FROM c WHERE c.n < 2";
    equal((await world.item(item).patch({ condition, operations })).resource.n, 2);
    await refused({ code: 412 }, () => world.item(item).patch({ condition, operations }));
  },
);

check(
  "Queries work in one partition and over all, in order, page by page. [API] Query documents; cross-partition queries.",
  async function queries_work_in_one_partition_and_over_all(world) {
    for (let n = 0; n < 6; n += 1) await world.create(`q${n}`, { q: RUN, n });
    const parameters = [{ name: "@run", value: RUN }];
    const ask = (query, options) => world.records.items.query({ query, parameters }, options).fetchAll();
    const one = await ask("SELECT VALUE c.n FROM c WHERE c.q = @run", { partitionKey: `${RUN}-q3` });
    equal(one.resources, [3]);
    const every = await ask("SELECT VALUE c.n FROM c WHERE c.q = @run ORDER BY c.n DESC", { maxItemCount: 2 });
    equal(every.resources, [5, 4, 3, 2, 1, 0]);
    const count = await ask("SELECT VALUE COUNT(1) FROM c WHERE c.q = @run");
    equal(count.resources, [6]);
    // Both quotes make a string, and a name. [API] "Constants", string literals.
    const quoted = await ask(`SELECT VALUE COUNT(1) FROM c WHERE c["q"] = "${RUN}"`);
    equal(quoted.resources, [6]);
  },
);

check(
  "An item's own time to live hides it to the second. [Guide] Time to live (TTL) in Azure Cosmos DB.",
  async function an_items_time_to_live_hides_it(world) {
    const [short, never] = [await world.create("ttl", { ttl: 4 }), await world.create("never", { ttl: -1 })];
    equal((await world.read(short)).ttl, 4);
    await sleep(5100);
    equal([await world.read(short), (await world.read(never)).ttl], [undefined, -1]);
  },
);

check(
  "A wrong key is 401. [API] Access control on Azure Cosmos DB resources: master key.",
  async function a_wrong_key_is_refused(world) {
    const stranger = world.connect({ key: Buffer.from("another key").toString("base64") });
    await refused({ code: 401 }, () => stranger.database(world.azure.database).read());
  },
);

check(
  "Every answer has a charge, an activity id, a session token and an etag. [API] Common response headers.",
  async function every_answer_has_charge_and_session(world) {
    const item = await world.create("headers");
    const answer = await world.item(item).read();
    truth(answer.requestCharge > 0 && answer.activityId && answer.headers["x-ms-session-token"], "one is missing");
    equal(answer.etag, item._etag);
  },
);

check(
  "The client waits as long as a throttled answer asks. [API] HTTP status codes: 429, x-ms-retry-after-ms.",
  async function the_client_waits_out_throttling(world) {
    const item = await world.create("throttled");
    const throttle = { operation: "read-item", kind: "throttle", retry_after: "150ms" };
    await world.admin.fault({ ...throttle, count: 1 });
    await refused({ code: 429, substatus: 3200 }, () => world.item(item).read());
    await world.admin.fault({ ...throttle, count: 2 });
    const retryOptions = { maxRetryAttemptCount: 5, fixedRetryIntervalInMilliseconds: 0, maxWaitTimeInSeconds: 5 };
    const patient = world.connect({ connectionPolicy: { enableEndpointDiscovery: false, retryOptions } });
    const start = Date.now();
    const records = patient.database(world.azure.database).container(world.azure.container);
    equal((await records.item(item.id, item.pk).read()).resource.id, item.id);
    truth(Date.now() - start >= 300, "it did not wait");
  },
);

await main((ready) => new World(ready));
