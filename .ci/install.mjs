// Installs what package-lock.json says, unless it is installed already. Needs nothing but Node and npm.
import { execSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'

const root = new URL('..', import.meta.url)
const time = (path) => (existsSync(new URL(path, root)) ? statSync(new URL(path, root)).mtimeMs : 0)

if (time('node_modules/.package-lock.json') < time('package-lock.json')) {
  execSync('npm ci --no-audit --no-fund', { cwd: root, stdio: 'inherit' })
}
