#!/bin/bash
# A throw-away Ceph cluster (one monitor, one OSD) with its S3 and Swift gateway, on
# loopback, without systemd and without cephx. For tests and benchmarks only.
#
#   ceph-rgw.sh start DIR PORT [memstore|bluestore]   gateway on PORT, monitor on PORT+1,
#                                                     gateway with TLS on PORT+2
#   ceph-rgw.sh stop DIR                              in order; start resumes a bluestore
#   ceph-rgw.sh kill DIR                              at once, for what is thrown away anyway
#   ceph-rgw.sh gateway-stop DIR                      only the gateway: a store that is down
#   ceph-rgw.sh gateway-start DIR                     ... and is back, objects and all
#   ceph-rgw.sh key-add DIR ACCESS SECRET             another key pair of the same user
#   ceph-rgw.sh key-remove DIR ACCESS                 ... which is refused from then on
#
# Environment: SIZE_GIB of the OSD (default 8), RBD_CACHE=true|false for librbd clients,
# GATEWAY=0 for a cluster without gateway.
# Leaves in DIR: ceph.conf, credentials and swift-credentials (for the clients), tls/ca.pem,
# pid/ and log/.
# Installs nothing: install-ceph.sh does.
set -euo pipefail

ACCESS_KEY=vpool-test-access
SECRET_KEY=vpool-test-secret
SWIFT_USER=vpool:swift
SWIFT_KEY=vpool-test-swift
WAIT_SECONDS_MAX=120

die() { echo "ceph-rgw.sh: $*" >&2; exit 1; }

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }

[ $# -ge 2 ] || usage
COMMAND=$1
mkdir -p "$2" || die "cannot make the directory $2"
DIR=$(cd "$2" && pwd)
CONF=$DIR/ceph.conf
STARTED_MS=$(date +%s%3N)

say() { echo "$(($(date +%s%3N) - STARTED_MS)) ms: $*"; }

# --- processes ---------------------------------------------------------------------

# Whether the process that $1 was started as still runs, and is not another one that
# got its number since.
alive() {
  local pid
  pid=$(cat "$DIR/pid/$1" 2>/dev/null) || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "-c $CONF"
}

launch() {
  local name=$1
  shift
  alive "$name" && return 0
  setsid "$@" -c "$CONF" -f >>"$DIR/log/$name.out" 2>&1 </dev/null &
  echo $! >"$DIR/pid/$name"
}

# Ends $1: asks, waits up to 8 s, then kills.
finish() {
  local name=$1 signal=$2 pid
  alive "$name" || { rm -f "$DIR/pid/$name"; return 0; }
  pid=$(cat "$DIR/pid/$name")
  kill "-$signal" "$pid" 2>/dev/null || true
  for _ in $(seq 80); do
    alive "$name" || break
    sleep 0.1
  done
  if alive "$name"; then
    kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$DIR/pid/$name"
}

# Waits until the command that follows succeeds; gives up when process $1 has died.
wait_for() {
  local name=$1 deadline=$((SECONDS + WAIT_SECONDS_MAX))
  shift
  until "$@" >/dev/null 2>&1; do
    alive "$name" || die "$name died: $(tail -n 3 "$DIR/log/$name.out" 2>/dev/null)"
    [ $SECONDS -lt $deadline ] || die "$name is not ready after $WAIT_SECONDS_MAX s"
    sleep 0.05
  done
  say "$name is up"
}

# --- configuration -----------------------------------------------------------------

# Without cephx: ms_mon_client_mode must then allow crc, or the gateway, whose own
# default is "secure", asks for ever. The paxos times are for a quick start: 2 s, not 13.
# tcp_nodelay: without it small GETs take 40 ms on loopback.
configure() {
  local port=$1 kind=$2 fsid=$3
  cat >"$CONF" <<X
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:$((port + 1))
mon_initial_members = a
public_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc secure
keyring = $DIR/keyring
run_dir = $DIR/run
admin_socket = $DIR/run/\$cluster-\$name.\$pid.asok
log_file = $DIR/log/\$name.log
mon_cluster_log_file = $DIR/log/cluster.log
crash_dir = $DIR/crash
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0

[mon]
mon_data = $DIR/mon/a
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_max_pg_per_osd = 2000
mon_data_avail_warn = 2
mon_data_avail_crit = 1
mon_warn_on_pool_no_redundancy = false
mon_warn_on_insecure_global_id_reclaim_allowed = false
paxos_propose_interval = 0.05
paxos_min_wait = 0.02

[osd]
osd_data = $DIR/osd
osd_objectstore = $kind
osd_memory_target = 1073741824
memstore_device_bytes = $((${SIZE_GIB:-8} << 30))
bluestore_block_size = $((${SIZE_GIB:-8} << 30))
bluestore_block_create = true
bluestore_block_db_create = false
bluestore_block_wal_create = false

[client]
rbd_cache = ${RBD_CACHE:-true}

[client.gateway]
rgw_frontends = beast endpoint=127.0.0.1:$port ssl_endpoint=127.0.0.1:$((port + 2)) ssl_certificate=$DIR/tls/server.pem tcp_nodelay=1
rgw_data = $DIR/gateway
rgw_thread_pool_size = 64
rgw_swift_account_in_url = true
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_crypt_require_ssl = false
rgw_gc_obj_min_wait = 60
rgw_gc_processor_period = 60
X
}

gateway_port() { sed -n 's/^rgw_frontends = beast endpoint=127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$CONF"; }

# An issuer of our own, and a certificate for 127.0.0.1 from it; strict clients take no
# certificate that is its own issuer.
make_certificates() {
  local tls=$DIR/tls
  (
    umask 077
    mkdir -p "$tls"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
      -subj "/CN=vPool test issuer" -keyout "$tls/ca.key" -out "$tls/ca.pem"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
      -subj "/CN=vPool test store" -keyout "$tls/server.key" -out "$tls/server.csr"
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n' >"$tls/ext"
    openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" \
      -CAcreateserial -days 30 -extfile "$tls/ext" -out "$tls/server.crt"
    cat "$tls/server.key" "$tls/server.crt" >"$tls/server.pem"
  ) >>"$DIR/log/tls.out" 2>&1 || die "no certificates: $(tail -n 3 "$DIR/log/tls.out")"
}

# --- commands ----------------------------------------------------------------------

prepare_cluster() {
  local port=$1 kind=$2 fsid
  fsid=$(cat /proc/sys/kernel/random/uuid)
  make_certificates
  configure "$port" "$kind" "$fsid"
  : >"$DIR/keyring"
  monmaptool --create --clobber --fsid "$fsid" \
    --addv a "[v2:127.0.0.1:$((port + 1))]" "$DIR/monmap" >/dev/null
  ceph-mon -c "$CONF" --mkfs -i a --monmap "$DIR/monmap" --keyring "$DIR/keyring"
  say "cluster is laid out"
}

prepare_osd() {
  local uuid
  uuid=$(cat /proc/sys/kernel/random/uuid)
  ceph -c "$CONF" osd new "$uuid" >/dev/null
  ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$uuid" >>"$DIR/log/osd.out" 2>&1
  say "disk is laid out"
}

osd_is_up() { ceph -c "$CONF" --connect-timeout 5 osd stat | grep -q '1 up'; }

gateway_start() {
  local port
  port=$(gateway_port)
  launch gateway radosgw -n client.gateway
  wait_for gateway curl -sf -o /dev/null "http://127.0.0.1:$port/"
}

admin=(radosgw-admin -c "$CONF" -n client.gateway)

make_users() {
  "${admin[@]}" user create --uid="${SWIFT_USER%%:*}" --display-name=vpool \
    --access-key="$ACCESS_KEY" --secret-key="$SECRET_KEY" >/dev/null 2>>"$DIR/log/admin.out"
  "${admin[@]}" subuser create --uid="${SWIFT_USER%%:*}" --subuser="$SWIFT_USER" \
    --access=full --key-type=swift --secret-key="$SWIFT_KEY" >/dev/null 2>>"$DIR/log/admin.out"
  (umask 077 && printf 'access_key=%s\nsecret_key=%s\n' "$ACCESS_KEY" "$SECRET_KEY" \
    >"$DIR/credentials")
  (umask 077 && printf 'user=%s\nkey=%s\n' "$SWIFT_USER" "$SWIFT_KEY" >"$DIR/swift-credentials")
  say "users are made"
}

start() {
  local port=$1 kind=$2
  command -v radosgw ceph-mon ceph-osd ceph curl openssl >/dev/null || die "Ceph is not installed"
  mkdir -p "$DIR"/{mon,osd,gateway,run,log,pid,crash}
  [ -e "$DIR/monmap" ] || prepare_cluster "$port" "$kind"
  if [ -e "$DIR/osd/fsid" ] && ! alive osd && grep -q '^osd_objectstore = memstore' "$CONF"; then
    die "what was in memory is gone: remove $DIR and start anew"
  fi
  launch mon ceph-mon -i a
  wait_for mon ceph -c "$CONF" --connect-timeout 2 osd dump
  [ -e "$DIR/osd/fsid" ] || prepare_osd
  launch osd ceph-osd -i 0
  wait_for osd osd_is_up
  [ "${GATEWAY:-1}" = 1 ] || return 0
  gateway_start
  [ -e "$DIR/credentials" ] || make_users
}

# The gateway goes first: without a monitor it never ends, and keeps its port.
end_all() {
  local name
  for name in gateway osd mon; do finish "$name" "$1"; done
}

case $COMMAND in
  start)
    [ $# -ge 3 ] || usage
    case ${4:-memstore} in memstore | bluestore) ;; *) usage ;; esac
    start "$3" "${4:-memstore}"
    ;;
  stop) end_all TERM ;;
  kill) end_all KILL ;;
  gateway-stop) finish gateway KILL ;;
  gateway-start) gateway_start ;;
  key-add)
    [ $# -eq 4 ] || usage
    "${admin[@]}" key create --uid="${SWIFT_USER%%:*}" --key-type=s3 --access-key="$3" \
      --secret-key="$4" >/dev/null 2>>"$DIR/log/admin.out"
    ;;
  key-remove)
    [ $# -eq 3 ] || usage
    "${admin[@]}" key rm --uid="${SWIFT_USER%%:*}" --key-type=s3 --access-key="$3" \
      >/dev/null 2>>"$DIR/log/admin.out"
    ;;
  *) usage ;;
esac
