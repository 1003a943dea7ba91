// An outside peer: the npm emulator `emulate` behind one address, with a real repository beside it.
// The emulator keeps git objects under their real ids but serves no git, so what is pushed here is
// told to it object by object, and what it merges is written back. `peer.mjs DIRECTORY` prints its
// address as JSON and ends when its standard input does.
import { createEmulator } from './node_modules/emulate/dist/api.js'
import http from 'node:http'
import { execFileSync, spawn } from 'node:child_process'

const [root] = process.argv.slice(2)
const dir = `${root}/octo/shop.git`
const token = process.env.PEER_TOKEN
const git = (args, input) =>
  execFileSync('git', args, { cwd: dir, input, maxBuffer: 1 << 26 }).toString()
const line = (...args) => git(args).trim()
const has = (id) => {
  try {
    execFileSync('git', ['cat-file', '-e', id], { cwd: dir, stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const emulator = await createEmulator({
  service: 'github',
  port: Number(process.env.PEER_PORT),
  seed: {
    github: {
      users: [{ login: 'octo' }],
      repos: [{ owner: 'octo', name: 'shop', auto_init: true }],
    },
    tokens: { [token]: { login: 'octo', scopes: ['repo'] } },
  },
})

async function api(method, path, body) {
  const answer = await fetch(`${emulator.url}/repos/octo/shop${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  })
  const text = await answer.text()
  return { status: answer.status, body: text ? JSON.parse(text) : null }
}

const told = new Set()
async function same(kind, id, path, body) {
  const { body: made } = await api('POST', path, body)
  if (made.sha !== id) throw new Error(`${kind} ${id} became ${JSON.stringify(made)}`)
  told.add(id)
}

async function tellTree(id) {
  if (told.has(id)) return
  const tree = []
  for (const entry of git(['ls-tree', '-z', id]).split('\0').filter(Boolean)) {
    const [, mode, type, sha, path] = entry.match(/^(\d+) (\w+) (\w+)\t([^]*)$/)
    if (type === 'tree') await tellTree(sha)
    else if (!told.has(sha)) {
      const content = execFileSync('git', ['cat-file', 'blob', sha], { cwd: dir }).toString('base64')
      await same('blob', sha, '/git/blobs', { content, encoding: 'base64' })
    }
    tree.push({ path, mode, type, sha })
  }
  await same('tree', id, '/git/trees', { tree })
}

const person = (text) => {
  const [, name, email, seconds] = text.match(/^(.*) <(.*)> (\d+) \+0000$/)
  return { name, email, date: new Date(seconds * 1000).toISOString() }
}

async function tellCommit(id) {
  const raw = git(['cat-file', 'commit', id])
  const [head, message] = [raw.slice(0, raw.indexOf('\n\n')), raw.slice(raw.indexOf('\n\n') + 2)]
  const field = (name) => head.split('\n').filter((l) => l.startsWith(`${name} `)).map((l) => l.slice(name.length + 1))
  const [tree] = field('tree')
  await tellTree(tree)
  const commit = { message, tree, parents: field('parent') }
  commit.author = person(field('author')[0])
  commit.committer = person(field('committer')[0])
  await same('commit', id, '/git/commits', commit)
}

// Tells the emulator of every branch of the repository.
async function tell() {
  const here = new Map(
    git(['for-each-ref', '--format=%(refname:short) %(objectname)', 'refs/heads'])
      .split('\n').filter(Boolean).map((l) => l.split(' ')),
  )
  for (const id of line('rev-list', '--topo-order', '--reverse', '--branches').split('\n')) {
    if (!told.has(id)) await tellCommit(id)
  }
  const { body: branches } = await api('GET', '/branches?per_page=100')
  for (const [name, sha] of here) {
    const known = branches.find((branch) => branch.name === name)
    if (!known) await api('POST', '/git/refs', { ref: `refs/heads/${name}`, sha })
    else if (known.commit.sha !== sha) await api('PATCH', `/git/refs/heads/${name}`, { sha, force: true })
  }
  for (const { name } of branches) {
    if (!here.has(name)) await api('DELETE', `/git/refs/heads/${name}`)
  }
}

async function writeTree(id) {
  if (has(id)) return
  const { body } = await api('GET', `/git/trees/${id}`)
  for (const entry of body.tree) if (entry.type === 'tree') await writeTree(entry.sha)
  const text = body.tree.map((e) => `${e.mode} ${e.type} ${e.sha}\t${e.path}\n`).join('')
  git(['mktree'], text)
}

async function writeCommit(id) {
  if (has(id)) return
  const { body: commit } = await api('GET', `/git/commits/${id}`)
  for (const parent of commit.parents) await writeCommit(parent.sha)
  await writeTree(commit.tree.sha)
  const by = (who) => `${who.name} <${who.email}> ${Math.floor(new Date(who.date) / 1000)} +0000`
  const head = [
    `tree ${commit.tree.sha}`,
    ...commit.parents.map((parent) => `parent ${parent.sha}`),
    `author ${by(commit.author)}`,
    `committer ${by(commit.committer)}`,
  ].join('\n')
  const made = git(['hash-object', '-t', 'commit', '-w', '--stdin'], `${head}\n\n${commit.message.replace(/\n?$/, '\n')}`).trim()
  if (made !== id) throw new Error(`commit ${id} became ${made}`)
  told.add(id)
}

// Writes what the emulator merged into the repository.
async function takeBack() {
  const { body: branches } = await api('GET', '/branches?per_page=100')
  for (const { name, commit } of branches) {
    await writeCommit(commit.sha)
    git(['update-ref', `refs/heads/${name}`, commit.sha])
  }
}

function serveGit(request, url, body, answer) {
  const backend = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: url.pathname.slice('/git'.length),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      CONTENT_LENGTH: String(body.length),
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: request.headers['git-protocol'] ?? '',
      REMOTE_USER: 'octo',
    },
  })
  const parts = []
  backend.stdout.on('data', (part) => parts.push(part))
  backend.on('close', async () => {
    const output = Buffer.concat(parts)
    const end = output.indexOf('\r\n\r\n')
    let status = 200
    const headers = {}
    for (const header of output.subarray(0, end).toString().split('\r\n')) {
      const [name, value] = header.split(': ')
      if (name === 'Status') status = Number(value.slice(0, 3))
      else headers[name] = value
    }
    if (url.pathname.endsWith('git-receive-pack')) await tell()
    answer.writeHead(status, headers).end(output.subarray(end + 4))
  })
  backend.stdin.on('error', () => {})
  backend.stdin.end(body)
}

const server = http.createServer(async (request, answer) => {
  const parts = []
  for await (const part of request) parts.push(part)
  const body = Buffer.concat(parts)
  const url = new URL(request.url, 'http://peer')
  if (url.pathname.startsWith('/git/')) return serveGit(request, url, body, answer)
  const headers = { ...request.headers }
  delete headers.host
  delete headers['content-length']
  const said = await fetch(emulator.url + request.url, {
    method: request.method,
    headers,
    body: request.method === 'GET' ? undefined : body,
  })
  const text = Buffer.from(await said.arrayBuffer())
  if (url.pathname.endsWith('/merge') && said.ok) await takeBack()
  const kept = [...said.headers].filter(([name]) => !/^(transfer|content)-(encoding|length)$/.test(name))
  answer.writeHead(said.status, Object.fromEntries(kept)).end(text)
})

await tell()
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }))
})
process.stdin.resume().on('end', () => process.exit(0))
