import test from 'ava';
import { bypassesProxy } from '../../../../src/integrations/oci/registry/no-proxy.ts';

const cases: [string, string[], string[]][] = [
  ['', ['127.0.0.1:5000', 'localhost', '[::1]:80'], ['reg.example', '10.0.0.1', 'notlocalhost']],
  ['10.0.0.0/8, fd00::/8', ['10.1.2.3:5000', '[fd00::5]'], ['11.0.0.1', '[fe80::1]', 'ten.example']],
  ['192.168.0.7', ['192.168.0.7', '192.168.0.7:5000'], ['192.168.0.70']],
  ['reg.example', ['reg.example', 'a.reg.example', 'REG.example', 'reg.example.'], ['xreg.example', 'example']],
  ['.example', ['reg.example'], ['example']],
  ['*.example', ['reg.example'], ['example']],
  ['reg.example:5000', ['reg.example:5000'], ['reg.example', 'reg.example:5001']],
  ['[fd00::5]:5000', ['[fd00::5]:5000'], ['[fd00::5]']],
  ['*', ['anything.example', '8.8.8.8'], []],
  ['10.0.0.0/99 , /8 x/y', [], ['10.0.0.1', 'x']],
];
for (const [value, past, through] of cases) {
  test(`NO_PROXY=${JSON.stringify(value)}`, (t) => {
    for (const host of past) t.true(bypassesProxy(new URL(`https://${host}/`), value), host);
    for (const host of through) t.false(bypassesProxy(new URL(`https://${host}/`), value), host);
  });
}

test('addresses without a port use the default port', (t) => {
  t.true(bypassesProxy(new URL('https://reg.example/'), 'reg.example:443'));
  t.true(bypassesProxy(new URL('http://reg.example/'), 'reg.example:80'));
  t.false(bypassesProxy(new URL('http://reg.example/'), 'reg.example:443'));
});
