#!/usr/bin/env bash
# Installs what the tests need from Debian and npm, and checks that the services answer.
#
# Does nothing where everything is there. Starts no service: the machine does. Each service is
# looked for at its standard port on 127.0.0.1: PostgreSQL with the user postgres (trust), MariaDB
# with root and no password, Redis and RabbitMQ.
set -euo pipefail

PACKAGES=(postgresql mariadb-server redis-server rabbitmq-server chromium chromium-driver
  libreoffice-writer-nogui libreoffice-calc-nogui libreoffice-impress-nogui
  libgomp1 fonts-dejavu-core fonts-liberation fonts-wqy-zenhei fonts-arphic-uming fonts-arphic-ukai)

# Node.js from elsewhere than Debian brings a npm of its own.
command -v npm > /dev/null || PACKAGES+=(npm)

missing=()
for package in "${PACKAGES[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

# The engine that looks for faults of pages for people with disabilities.
AXE=4.14.1
axe_folder="${XDG_CACHE_HOME:-$HOME/.cache}/kvasir-tests/axe-core-$AXE"
if [ ! -f "$axe_folder/axe.min.js" ]; then
  mkdir -p "$axe_folder"
  (cd "$axe_folder" && npm pack --silent "axe-core@$AXE" > /dev/null &&
    tar -xzf "axe-core-$AXE.tgz" --strip-components 1 package/axe.min.js &&
    rm "axe-core-$AXE.tgz") || echo "axe-core cannot be fetched: its test will be skipped"
fi

postgresql() { psql -w -h 127.0.0.1 -p 5432 -U postgres -c 'select 1'; }
mariadb_() { mariadb --no-defaults -h 127.0.0.1 -P 3306 -u root -e 'select 1'; }
redis() { [ "$(redis-cli -h 127.0.0.1 -p 6379 ping)" = PONG ]; }
rabbitmq() {
  # A server that speaks AMQP 0-9-1 begins with a method frame, whose first byte is 1.
  exec 3<>/dev/tcp/127.0.0.1/5672
  printf 'AMQP\0\0\011\001' >&3
  [ "$(timeout 10 head -c 1 <&3)" = $'\001' ]
}

failed=0
check() {
  if ! reason=$("$2" 2>&1); then
    echo "$1 does not answer at 127.0.0.1:$3: ${reason:-no answer}" >&2
    failed=1
  fi
}
check PostgreSQL postgresql 5432
check MariaDB mariadb_ 3306
check Redis redis 6379
check RabbitMQ rabbitmq 5672
exit $failed
