#!/usr/bin/env node
'use strict';

// shout-build SOURCE DESTINATION copies a directory of scripts and stamps each file.
const fs = require('fs');
const path = require('path');

const [from, to] = process.argv.slice(2);
fs.mkdirSync(to, { recursive: true });
for (const name of fs.readdirSync(from)) {
  const text = fs.readFileSync(path.join(from, name), 'utf8');
  fs.writeFileSync(path.join(to, name), `/* built by shout-build */\n${text}`);
}
