// Writes a store with node-forge: node forge.js algorithm password out cert...
const forge = require('node-forge');
const fs = require('fs');

const [algorithm, password, out, ...certs] = process.argv.slice(2);
const key = forge.pki.privateKeyFromPem(fs.readFileSync('key.pem', 'utf8'));
const chain = certs.map((name) => forge.pki.certificateFromPem(fs.readFileSync(name + '.pem', 'utf8')));
const p12 = forge.pkcs12.toPkcs12Asn1(key, chain, password, { algorithm, friendlyName: 'forge' });
fs.writeFileSync(out, Buffer.from(forge.asn1.toDer(p12).getBytes(), 'binary'));
