/**
 * Everything that stands in Redis: the keys, the scripts that change them, how long they live. Nothing else of this
 * project names a key.
 *
 *   ha:{FARM}:members         hash, node → "EXPIRES IDENTITY MEMBER" (EXPIRES: milliseconds of Redis's own clock)
 *   ha:{FARM}:settings        string, what all nodes of the farm must have configured alike; lives as long as members
 *   ha:{FARM}:c:NODE          string, how many connections clients have at the node (client-counts.ts)
 *   ha:{FARM}:cookies         string, the keys of the farm's Convert cookies (cookie-keys.ts)
 *   ha:{FARM:SHARD}:t:TOKEN   string, the node that has the token (8 hexadecimal digits)
 *   ha:{FARM:SHARD}:n:NODE    set of the node's tokens in this shard, as integers; lives as long as the last one
 *                             claimed: what was not released is taken out by its node (publisher.ts)
 *   ha:{FARM:SHARD}:f:FLOW    string, the node at which the flow ends
 *
 * The part in braces is Redis Cluster's hash tag: a script's keys share one, so they are on one master. A thousand
 * shards spread tokens over the masters, and keep each set of tokens small enough for Redis's compact encoding (512
 * integers), which takes 8 bytes for a token and not 60.
 */

import { COOKIE_KEY_BYTES, MOST_COOKIE_KEYS } from "./cookie-keys.ts";

const SHARDS = 1024;
const SHARD_SHIFT = 22;

/** The keys of one farm. */
export class Keys {
  readonly #farm: string;
  readonly members: string;
  readonly settings: string;
  readonly cookies: string;

  /** `farm` is a name as isNodeName wants it: it can hold no brace. */
  constructor(farm: string) {
    this.#farm = farm;
    this.members = `ha:{${farm}}:members`;
    this.settings = `ha:{${farm}}:settings`;
    this.cookies = `ha:{${farm}}:cookies`;
  }

  /** What the node says of its clients. */
  clientsOf(node: string): string {
    return `ha:{${this.#farm}}:c:${node}`;
  }

  token(token: number): string {
    return `${this.#shard(token >>> SHARD_SHIFT)}:t:${token.toString(16).padStart(8, "0")}`;
  }

  /** The set that lists `token` among the node's. */
  tokensOf(node: string, token: number): string {
    return `${this.#shard(token >>> SHARD_SHIFT)}:n:${node}`;
  }

  /** All sets of the node's tokens. */
  allTokensOf(node: string): string[] {
    return Array.from({ length: SHARDS }, (_, shard) => `${this.#shard(shard)}:n:${node}`);
  }

  flow(flow: string): string {
    let hash = 0;
    for (let index = 0; index < flow.length; index++) hash = (Math.imul(hash, 31) + flow.charCodeAt(index)) >>> 0;
    return `${this.#shard(hash % SHARDS)}:f:${flow}`;
  }

  #shard(shard: number): string {
    return `ha:{${this.#farm}:${shard.toString(16)}}`;
  }
}

/** Cookie keys go when no node has asked for them for so many of their lives. */
const COOKIES_LIFE_IN_LIVES = 3;

/** The hash of members outlives the leases in it, the longest of them too, so that a renewal finds who had the name. */
const MEMBERS_LIFE_IN_LEASES = 10;

const NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)";

/** ioredis loads them by their digest and calls them by these names. */
export const SCRIPTS = {
  /** KEYS members, settings; ARGV name, identity, member, lease in ms, settings. */
  farmRenew: {
    numberOfKeys: 2,
    lua: `
      ${NOW}
      local others, held = 0, false
      local all = redis.call('HGETALL', KEYS[1])
      for i = 1, #all, 2 do
        local expires, identity = string.match(all[i + 1], '^(%d+) (%S+) ')
        if expires and tonumber(expires) <= now then
          redis.call('HDEL', KEYS[1], all[i])
        elseif expires and all[i] ~= ARGV[1] then
          others = others + 1
        elseif expires and identity ~= ARGV[2] then
          return 'nameTaken'
        elseif expires then
          held = true
        end
      end
      local settings = redis.call('GET', KEYS[2])
      if others > 0 and settings and settings ~= ARGV[5] then return 'otherSettings' end
      local life = math.max(${MEMBERS_LIFE_IN_LEASES} * ARGV[4], redis.call('PTTL', KEYS[1]))
      redis.call('SET', KEYS[2], ARGV[5], 'PX', life)
      redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %s %s', now + ARGV[4], ARGV[2], ARGV[3]))
      redis.call('PEXPIRE', KEYS[1], life)
      return held and 'renewed' or 'joined'`,
  },
  /** KEYS members; ARGV name, identity. */
  farmLeave: {
    numberOfKeys: 1,
    lua: `
      local value = redis.call('HGET', KEYS[1], ARGV[1])
      if value and string.match(value, '^%d+ (%S+) ') == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end`,
  },
  /** KEYS members. Gives name, member, name, member, ... of the leases that hold; "" for a member in another form. */
  farmMembers: {
    numberOfKeys: 1,
    lua: `
      ${NOW}
      local live = {}
      local all = redis.call('HGETALL', KEYS[1])
      for i = 1, #all, 2 do
        local expires, member = string.match(all[i + 1], '^(%d+) %S+ (.*)$')
        if not expires or tonumber(expires) > now then
          live[#live + 1] = all[i]
          live[#live + 1] = member or ''
        end
      end
      return live`,
  },
  /**
   * KEYS cookies; ARGV keys that the node knows, a fresh key, their life in ms. Gives the time in ms, the keys, and 1 if what
   * stood there was none. As renewCookieKeys (cookie-keys.ts).
   */
  farmCookieKeys: {
    numberOfKeys: 1,
    lua: `
      ${NOW}
      local keys = {}
      local function take(text)
        local words, found = {}, {}
        for created, key in string.gmatch(text, '(%d+) (%x+)') do
          if #key == ${2 * COOKIE_KEY_BYTES} then
            words[#words + 1] = created .. ' ' .. key
            found[key] = tonumber(created)
          end
        end
        if #words == 0 or table.concat(words, ' ') ~= text then return false end
        for key, created in pairs(found) do keys[key] = created end
        return true
      end
      local value = redis.pcall('GET', KEYS[1])
      local foreign = value and not (type(value) == 'string' and take(value))
      take(ARGV[1])
      local sorted = {}
      for key, created in pairs(keys) do sorted[#sorted + 1] = { created, key } end
      table.sort(sorted, function(left, right)
        return left[1] > right[1] or (left[1] == right[1] and left[2] > right[2])
      end)
      if not sorted[1] or sorted[1][1] + ARGV[3] <= now then table.insert(sorted, 1, { now, ARGV[2] }) end
      local words = {}
      for i = 1, math.min(#sorted, ${MOST_COOKIE_KEYS}) do
        words[i] = string.format('%d %s', sorted[i][1], sorted[i][2])
      end
      local text = table.concat(words, ' ')
      redis.call('SET', KEYS[1], text, 'PX', ${COOKIES_LIFE_IN_LIVES} * ARGV[3])
      return { now, text, foreign and 1 or 0 }`,
  },
  /** KEYS token, set; ARGV node, life in ms, token as integer, "force" or "". Gives the other owner, if there is one. */
  farmClaimToken: {
    numberOfKeys: 2,
    lua: `
      local owner = redis.pcall('GET', KEYS[1])
      if type(owner) == 'string' and owner ~= ARGV[1] and ARGV[4] == '' then return owner end
      redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
      redis.pcall('SADD', KEYS[2], ARGV[3])
      redis.call('PEXPIRE', KEYS[2], ARGV[2])`,
  },
  /** KEYS token, set; ARGV node, token as integer. */
  farmReleaseToken: {
    numberOfKeys: 2,
    lua: `
      redis.pcall('SREM', KEYS[2], ARGV[2])
      if redis.pcall('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`,
  },
  /** KEYS flow; ARGV node. */
  farmReleaseFlow: {
    numberOfKeys: 1,
    lua: "if redis.pcall('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end",
  },
} as const;

export type ScriptName = keyof typeof SCRIPTS;
