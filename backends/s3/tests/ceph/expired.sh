#!/bin/sh
# Makes a key and a certificate of itself for 127.0.0.1 that was good for one month of 2020, in
# the present directory: key.pem, cert.pem.
set -eu
cat >ca.cnf <<'END'
[ca]
default_ca = expired
[expired]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = IP:127.0.0.1
END
: >index.txt
echo 01 >serial
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 \
    -keyout key.pem -out csr.pem
openssl ca -selfsign -batch -notext -config ca.cnf -in csr.pem -keyfile key.pem -out cert.pem \
    -startdate 20200101000000Z -enddate 20200201000000Z
