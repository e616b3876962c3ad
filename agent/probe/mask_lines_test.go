package probe

import (
	"strings"
	"testing"
)

// secretLines hold S3CR3T (or a key with a form of its own) in the place of a secret.
var secretLines = strings.Split(`docker login -u me -p S3CR3T registry.example.com
docker login --username me --password S3CR3T
docker login --password=S3CR3T
podman login -p S3CR3T quay.io
buildah login -u a -pS3CR3T quay.io
helm registry login -u a -p S3CR3T h
docker run -e MYSQL_ROOT_PASSWORD=S3CR3T mysql
docker run --env=DB_PASS=S3CR3T img
docker exec db mysql -uroot -pS3CR3T
ldapsearch -x -D cn=admin -w S3CR3T -b dc=x
ldapmodify -D cn=admin -wS3CR3T
ldappasswd -s S3CR3T uid=a
slappasswd -s S3CR3T
openssl enc -aes-256-cbc -k S3CR3T -in a
openssl rsa -in k.pem -passin pass:S3CR3T
openssl pkcs12 -export -passout pass:S3CR3T
openssl enc -K S3CR3T -iv 0
slack --bot xoxb-123456789012-S3CR3Tabcdef
run ghp_S3CR3Tabcdefghijklmnop
run AKIAS3CR3TEXAMPLE000 x
run --x glpat-S3CR3Tabcdefghijk
run sk-S3CR3Tabcdefghijklmnopqrstu
curl -X POST https://hooks.slack.com/services/T000/B000/S3CR3T
curl https://discord.com/api/webhooks/1/S3CR3T
curl https://api.telegram.org/botS3CR3T/sendMessage
curl https://x.webhook.office.com/webhookb2/S3CR3T
wget https://me:S3CR3T@example.com/x
git clone https://oauth2:S3CR3T@gitlab.example.com/a.git
git clone https://S3CR3Tabcdef0123456789@github.com/a/b
git clone https://S3CR3Tx@github.com/a/b
git clone https://S3CR3Tx:@github.com/a/b
git remote add o https://S3CR3Tx:x-oauth-basic@github.com/a/b
pip install git+https://S3CR3Tx@github.com/a/b
vault login S3CR3T
vault operator unseal S3CR3T
radtest me S3CR3T radius1 0 S3CR3T
radtest -t mschap me S3CR3T radius1 1812 S3CR3T
steamcmd +login me S3CR3T +app_update 740 +quit
/usr/games/steamcmd +force_install_dir /srv +login me S3CR3T
ss-server -s 0.0.0.0 -p 8388 -k S3CR3T -m aes-256-gcm
ss-local -kS3CR3T -l 1080
restic --password-command 'echo S3CR3T' backup /srv
restic --password-command='echo S3CR3T' backup /srv
BORG_PASSCOMMAND="printf S3CR3T" borg create x::y /srv
app -passwordS3CR3T
app --passwordS3CR3T run
run eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIS3CR3T.abc
BOOT_IMAGE=/vmlinuz root=/dev/sda1 cryptkey=S3CR3T ro
root=/dev/sda1 luks.key=S3CR3T quiet
root=/dev/sda1 rd.luks.key=S3CR3T
rd.iscsi.password=S3CR3T rd.iscsi.in.password=b
netroot=iscsi:me:S3CR3T@192.0.2.1::3260:1:iqn
inst.vncpassword=S3CR3T inst.vnc
cifspass=S3CR3T cifsuser=a
systemd.set_credential=passwd.hashed-password.root:S3CR3T
sshfs#me:S3CR3T@host:/srv
mount -t cifs //h/s /m -o username=me,password=S3CR3T
mount.cifs //h/s /m -o credentials=S3CR3T
mount -t cifs //h/s /m -o user=a,pass=S3CR3T,vers=3
Environment=API_KEY=S3CR3T
Environment="DB_PASSWORD=S3CR3T" "X=1"
curl -u me:S3CR3T https://h
curl -ume:S3CR3T https://h
curl --user me:S3CR3T https://h
curl --user=me:S3CR3T https://h
curl --proxy-user me:S3CR3T https://h
curl -U me:S3CR3T -x p https://h
curl -H "Authorization: Bearer S3CR3T" https://h
curl -H 'X-Api-Key: S3CR3T' https://h
curl -H "Cookie: sid=S3CR3T" https://h
curl --oauth2-bearer S3CR3T https://h
curl -b sid=S3CR3T https://h
curl https://h/x?access_token=S3CR3T
curl "https://h/x?sig=S3CR3T&sp=r"
mysql -u root -pS3CR3T db
mysqldump --password=S3CR3T db
mariadb -pS3CR3T
sshpass -p S3CR3T ssh h
sshpass -pS3CR3T ssh -p 22 h
PGPASSWORD=S3CR3T psql -h db
env PGPASSWORD=S3CR3T pg_dump db
MYSQL_PWD=S3CR3T mysql
app --password S3CR3T
app --Password S3CR3T
app --PASSWORD=S3CR3T
app --db-password S3CR3T
app --dbPassword=S3CR3T
app -password S3CR3T
app /password:S3CR3T
app --passwd=S3CR3T
app --passphrase S3CR3T
app --api-token S3CR3T
app --token=S3CR3T
app --client_secret S3CR3T
app --secret-key=S3CR3T
app --auth S3CR3T
app --basic-auth=me:S3CR3T
wget --http-password=S3CR3T https://h
wget --http-password S3CR3T https://h
wget --ftp-password=S3CR3T ftp://h
redis-cli -h h -a S3CR3T ping
redis-cli --pass S3CR3T ping
redis-server --requirepass S3CR3T
redis-cli config set requirepass S3CR3T
mongodump mongodb://me:S3CR3T@h/db
mongosh -u me -p S3CR3T
mongodb+srv://me:S3CR3T@c.example.net/x
psql "host=h user=me password=S3CR3T dbname=d"
psql postgresql://me:S3CR3T@h:5432/d
psql 'postgres://me:S3CR3T@h/d?sslmode=require'
amqp://me:S3CR3T@mq:5672/v
java -Djavax.net.ssl.keyStorePassword=S3CR3T -jar a.jar
java -Dspring.datasource.password=S3CR3T -jar a.jar
keytool -storepass S3CR3T -list
ansible-playbook -e ansible_password=S3CR3T p.yml
terraform apply -var db_password=S3CR3T
kubectl --token=S3CR3T get pods
kubectl create secret generic x --from-literal=k=S3CR3T
helm install x --set auth.rootPassword=S3CR3T
aws configure set aws_secret_access_key S3CR3T
npm config set //registry.npmjs.org/:_authToken S3CR3T
nmcli dev wifi connect ap password S3CR3T
nmcli con mod x wifi-sec.psk S3CR3T
wpa_passphrase ssid S3CR3T
ipmitool -H h -U a -P S3CR3T chassis
snmpwalk -v 2c -c S3CR3T h
snmpget -v3 -A S3CR3T -X b h
smbclient //h/s -U me%S3CR3T
lftp -u me,S3CR3T h
unzip -P S3CR3T a.zip
7z x -pS3CR3T a.7z
gpg --batch --passphrase S3CR3T -d a
sqlplus scott/S3CR3T@db
expdp system/S3CR3T full=y
sqlcmd -U sa -P S3CR3T
rabbitmqctl add_user me S3CR3T
htpasswd -b f me S3CR3T
htpasswd -nb me S3CR3T
iscsiadm -m node -o update -n node.session.auth.password -v S3CR3T
usermod -p S3CR3T me
xfreerdp /u:me /p:S3CR3T /v:h
plink -pw S3CR3T h
az login -u me -p S3CR3T
http_proxy=http://me:S3CR3T@proxy:3128
AccountName=a;AccountKey=S3CR3T==;EndpointSuffix=x
curl -d '{"password":"S3CR3T","a":1}' https://h
curl -d '{"apiKey": "S3CR3T"}' https://h
sh -c "mysql -pS3CR3T < dump.sql"
bash -c 'export TOKEN=S3CR3T; run'
vault login hvs.S3CR3Tabcdefghijkl
echo -----BEGIN RSA PRIVATE KEY----- S3CR3T
etcdctl --user root:S3CR3T get x
openvpn --config a --auth-user-pass S3CR3T
swaks --to a -ap S3CR3T
skopeo copy --src-creds=me:S3CR3T docker://a dir:b
restic -r rest:https://me:S3CR3T@h/ backup /
curl -sSfu admin:S3CR3T https://h
curl -sSu admin:S3CR3T https://h
curl -ksu admin:S3CR3T https://h
curl -suadmin:S3CR3T https://h
curl -bsid=S3CR3T https://h
ldapsearch -xLLLw S3CR3T -D cn=a
ldapsearch -xw S3CR3T
ldapsearch -xwS3CR3T
zip -rPS3CR3T a b
unzip -oP S3CR3T a.zip
snmpwalk -v3 -3k S3CR3T h
snmpwalk -v2c -cS3CR3T h
mysql -BNpS3CR3T db
mysqladmin -u root password S3CR3T
useradd -mp S3CR3T bob
sshpass -vp S3CR3T ssh h
sh -c curl -d "{\"password\":\"S3CR3T\"}" h
bash -c "curl -d '{\"password\": \"S3CR3T\"}' h"
bash -c "curl -d \"{\\\"password\\\": \\\"S3CR3T\\\"}\" h"
app --config {"password" : "S3CR3T"}
app --config={"password" : "S3CR3T"}
app --config '{"token" : "a S3CR3T b"}'
app <password>S3CR3T</password>
curl -d '<login><password>S3CR3T</password></login>' h
curl https://h/?q=password%3DS3CR3T
curl -d %7B%22password%22%3A%22S3CR3T%22%7D h
app --account-key S3CR3T
app --account_key=S3CR3T
app --storage-key S3CR3T
app --bindpw S3CR3T
app --rootpw S3CR3T
app --ldapBindPw=S3CR3T
app --bind-pw S3CR3T
app --snmp-community=S3CR3T
app --sessionid=S3CR3T
app --session-id=S3CR3T
app --api_key S3CR3T
app --db-pass-2=S3CR3T
DB_PASS1=S3CR3T app
app --senha S3CR3T
app --kennwort=S3CR3T
app --mdp S3CR3T
app --contraseña=S3CR3T
app --mot-de-passe S3CR3T
app --wachtwoord S3CR3T
ceph --id a --key S3CR3T df
rbd --key=S3CR3T ls
consul agent -encrypt S3CR3T
nomad agent -encrypt=S3CR3T
smbclient //h/s --user=u%S3CR3T
smbclient //h/s S3CR3T -U u
unrar x -hpS3CR3T a.rar
isql -v dsn user S3CR3T
lftp -e "open -u u,S3CR3T h"
lftp -c 'open -u u,S3CR3T h; mirror'
sdl-freerdp /u:a /p:S3CR3T /v:h
xfreerdp /gp:S3CR3T /v:h
xfreerdp /gateway:g:h,u:me,p:S3CR3T /v:h
realm join -U u%S3CR3T d
psql "host=db password = 'S3CR3T'"
psql "host=db password= S3CR3T user=a"
qemu-system-x86_64 -object secret,id=s0,data=S3CR3T
pppd call isp user me password S3CR3T
wpa_cli set_network 0 psk "S3CR3T"
iwconfig wlan0 key s:S3CR3T
rclone config create x s3 pass S3CR3T
rclone obscure S3CR3T
mc alias set m http://h ak S3CR3T
doveadm pw -p S3CR3T
redis-server --user "default on >S3CR3T"
redis-cli acl setuser u on '>S3CR3T'
redis-cli auth me S3CR3T
net user u S3CR3T /add
samba-tool user create u S3CR3T
virsh secret-set-value u --base64 S3CR3T
virsh secret-set-value u S3CR3T
gcloud auth x --key S3CR3T
htpasswd -b f me "a S3CR3T"
htpasswd -nb me a/S3CR3T=
ipmitool user set password 2 S3CR3T
expdp userid=system/S3CR3T full=y
sqlplus "sys/S3CR3T@db as sysdba"
rman target sys/S3CR3T@db
openssl passwd -6 S3CR3T
cqlsh -password S3CR3T
app --exec="mysql -pS3CR3T db"
sh -c "sh -c \"mysql -pS3CR3T db\""
ffmpeg -i rtsp://me:S3CR3T@cam/1 out.mp4
docker login -up S3CR3T
docker login -upS3CR3T quay.io
docker login -e me@h -u me -p S3CR3T
docker run -e "PASSWORD=two S3CR3T" img
docker run -e "DB_PASSWORD=S3CR3T two" img
env "PASSWORD=two S3CR3T" run
"TOKEN=two words S3CR3T" run
sqlplus mysql u/S3CR3T
sqlplus -L ssh u/S3CR3T@db
mysql docker -pS3CR3T
mysql -h db nginx -pS3CR3T
ldapsearch -x curl -w S3CR3T
htpasswd -b mysql me S3CR3T
docker exec mongo mysql -pS3CR3T
docker exec redis-server curl -u me:S3CR3T h
sshpass -p S3CR3T curl -u me:S3CR3T h
psql -c "ALTER ROLE me PASSWORD 'S3CR3T'"
mysql -e "GRANT ALL ON a.b TO c IDENTIFIED BY 'S3CR3T'"
mysql -e "create user a identified with plugin by 'S3CR3T'"
tool -u me -p S3CR3T
tool --username me -P S3CR3T
tool -u me:S3CR3T
tool --login me:S3CR3T h
app https://u:S3CR3T@h/p?token=C
app https://u:S3CR3T@h/p?token=
app https://u:S3CR3T@h/p?access_token=C#x
DATABASE_URL=postgres://u:S3CR3T@h/db?sslpassword=x
postgres://u:S3CR3T@h/db?password=C
smtp://u:S3CR3T@h:25?auth=login
redis://u:S3CR3T@h/0?password=b
--url=https://u:S3CR3T@h/p?api_key=C
java -Durl=jdbc:mysql://u:S3CR3T@h/db?password=x
curl -H "X-From: https://u:S3CR3T@h/?token=x"
curl -x=http://u:S3CR3T@proxy:3128?password=z h
proxy=socks5://u:S3CR3T@h:1,password=x
app http://a:b@h/,http://u2:S3CR3T@h2/
app https://h/?next=https://u:S3CR3T@h2/
app redirect=https%3A%2F%2Fu%3AS3CR3T%40h%2F
app me:S3CR3T@h,proxy=https://x/
app https://h/x/token=S3CR3T
app --password=//S3CR3T
git clone https://u:S3CR3T@github.com/docker/docker
docker run -e TOKEN=S3CR3T/docker x
DB_PASSWORD=S3CR3T/mysql run
rclone https://u:S3CR3T@h/token x
sqlplus scott/a@h:1/x?token=S3CR3T
https://u:S3CR3T@hooks.slack.com/services/a?token=x
AKIAS3CR3TEXAMPLE000?token=x
x --run="mysql -pS3CR3T; curl --token=x"
sh -c "mysql -pS3CR3T; restic --password-command='echo x'"
x --run="mysql -pS3CR3T --password-command=echo x"
app "--token S3CR3T"
tool --key 0123456789abcdefS3CR3T`, "\n")

// shellLines hold one where only a shell tells.
var shellLines = strings.Split(`echo root:S3CR3T | chpasswd
echo root:S3CR3T|chpasswd
echo S3CR3T | passwd --stdin root
echo S3CR3T | sudo -S ls
echo S3CR3T | sudo -kS ls
echo -n "a S3CR3T" | tee x | sudo -S ls
(echo S3CR3T; echo S3CR3T) | smbpasswd -s me
{ echo S3CR3T; echo S3CR3T; } | passwd root
sh -c "echo S3CR3T | docker login --password-stdin h"
printf S3CR3T | docker login --password-stdin
printf '%s\n' S3CR3T | gpg --batch --passphrase-fd 0 -d a
echo S3CR3T | cryptsetup open /dev/sda1 a
echo S3CR3T | kinit me
passwd --stdin root <<< S3CR3T
passwd --stdin root <<<S3CR3T
sudo -S bash -c "cd /x; ./run" <<< S3CR3T
sudo -S sh -c 'a && b' <<< "S3CR3T"
sudo -S find . -exec rm {} \; <<< S3CR3T
{ sudo -S id; } <<< S3CR3T
true && passwd --stdin root <<< S3CR3T
true;curl -su a:S3CR3T https://h
x=$(curl -su a:S3CR3T https://h)
cd /a&&mysql -pS3CR3T db
sh -c "echo S3CR3T" | passwd --stdin root
bash -c 'cd /a; printf S3CR3T' | cryptsetup open /dev/sda1 x
mysql <<EOF ... password S3CR3T
mysql <<EOF ... S3CR3T EOF`, "\n")

// documents are lines with here-documents, ¶ for a newline.
var documents = [][2]string{
	{"mysql -u root <<EOF¶alter user me identified by 'S3CR3T';¶EOF¶ls -u", "mysql -u root <<EOF¶***¶EOF¶ls -u"},
	{"cat <<-'END' | chpasswd¶\troot:S3CR3T¶\tEND¶", "cat <<-'END' | chpasswd¶***\tEND¶"},
	{"sh -c \"passwd --stdin a << EOF¶S3CR3T¶EOF\"¶ls", "sh -c \"passwd --stdin a << EOF¶***¶EOF\"¶ls"},
	{"a <<A <<B¶S3CR3T¶A¶S3CR3T¶B¶c", "a <<A <<B¶***¶B¶c"},
	{"su - <<X¶say X S3CR3T¶", "su - <<X¶***"},
	{"a <<X¶X¶mysql <<\"Y\"¶S3CR3T¶Y¶", "a <<X¶X¶mysql <<\"Y\"¶***¶Y¶"},
	{"mysql <<EOF ... password S3CR3T EOF ls", "mysql <<EOF *** EOF ls"},
	{"mysql <<EOF", "mysql <<EOF"}, {"expr $((1 << 2)) + 3", "expr $((1 << 2)) + 3"}, {"cat <<< a b", "cat <<< a b"}, {"a <<", "a <<"},
}

func TestMaskHidesHereDocuments(t *testing.T) {
	newlines := strings.NewReplacer("¶", "\n")
	for _, d := range documents {
		if got, want := Mask(newlines.Replace(d[0])), newlines.Replace(d[1]); got != want {
			t.Errorf("Mask(%q)\n got  %q\n want %q", d[0], got, want)
		}
	}
}

// plainLines have nothing to hide.
var plainLines = strings.Split(`ssh -p 22 host
ssh -o PasswordAuthentication=no -o BatchMode=yes host
ssh -i /root/.ssh/id_ed25519 me@host
scp -P 22 a me@host:/srv
docker run -p 80:80 nginx
docker run --name web -p 127.0.0.1:80:80 -v /srv:/srv:ro nginx:1.25
docker run --user 1000:1000 img
docker run -v /run/secrets:/run/secrets:ro img
docker pull nginx:1.25@sha256:0123456789abcdef
podman run -p 8080:80 img
kubectl port-forward svc/a 80:80
kubectl get secrets -n kube-system
nginx -p /path -c nginx.conf
mkdir -p /srv/a/b
cp -p a b
cp -a a b
ps -p 1 -o pid
ps aux
tar -xpf a.tar
ls -a /
psql -p 5432 -U me db
pg_dump -p 5432 db
mysql -P 3306 -u root -p db
mysql --port=3306 --protocol=tcp
mysqld --port=3306 --user=mysql
redis-cli -p 6379 ping
redis-server *:6379
mongod --port 27017 --dbpath /var/lib/mongodb
mongod --auth --bind_ip 127.0.0.1
rsync -avz -e "ssh -p 2222" a host:/b
rsync -a rsync://host/module /srv
curl -k -L -o a https://example.com/a
curl https://example.com:8443/a?b=c&d=e
curl -X POST -d @file https://h/token
wget -q -O - https://example.com/x
git clone git@github.com:org/repo.git
git clone https://alice@github.com/org/repo.git
git clone https://oauth2@github.com/org/repo.git
git clone ssh://Deploy01@git.example.com/org/repo.git
vault login -method=oidc
vault kv get kv/app
steamcmd +login anonymous +app_update 740 +quit
ss-server -c /etc/shadowsocks-libev/config.json -u
restic --password-command 'pass show restic' backup /srv
app -passwordFile /etc/app/pw
app -passwordStdin
app --run-command 'echo hello world'
git clone https://github.com/org/repo
git push origin main
npm install left-pad@1.3.0
npm run build -- --mode production
npx npm:left-pad@1.3.0
yarn add @scope/pkg@2.0.0
pip install https://h:443/simple/a@1.0
go run example.com/x@v1.2.3
node /srv/app/index.js --port 3000
java -Xmx2g -cp /a.jar:/b.jar com.example.Main
java -Dfile.encoding=UTF-8 -jar a.jar
python3 -m http.server 8000
python3 serve.py --tokenizer bert-base --max-tokens 4096
vllm serve model --max-model-len 4096 --tokenizer-mode auto
app --password-file /etc/app/pw
app --password-file=/etc/app/pw
app --token-file /run/token
app --tokens-per-second 5
app --token-url https://h/oauth
app --token-type jwt
app --secret-name web
app --no-password --verbose
app --ask-pass --host h
app --password-stdin
app --credentials-file=/etc/c
app --auth-method ldap
app --auth-server https://h
app --auth-user-name me
app --signature-algorithm rsa
app --max-password-age 90
app --passwordless
backup --bypass all
encompass --compass north
ffmpeg -pass 1 -passlogfile x out.mp4
x264 --pass 2 out
gpg --verify a.sig a
openssl s_client -connect h:443 -servername h
openssl x509 -in a.pem -noout -text
openssl genrsa -out k.pem 2048
smbd --foreground --no-process-group
/usr/sbin/sshd -D
sshd: me [priv]
/usr/bin/dbus-daemon --system --address=systemd: --nofork
systemd --user --deserialize 12
/lib/systemd/systemd-journald
agetty -o -p -- \u --noclear tty1 linux
login -p -f root
cron -f -P
rsyslogd -n -iNONE
postgres: me db 127.0.0.1(5432) idle
php-fpm: pool www
nginx: worker process
containerd-shim-runc-v2 -namespace moby -id 0123456789abcdef -address /run/containerd/containerd.sock
qemu-system-x86_64 -name vm1 -vnc 127.0.0.1:0,password=on -m 2048
root=UUID=1-2 ro quiet rd.luks.name=a=b rd.luks.uuid=1-2
root=/dev/mapper/vg-root rd.lvm.lv=vg/root crashkernel=auto
BOOT_IMAGE=/boot/vmlinuz-6.1 root=/dev/sda1 ro console=ttyS0,115200n8
UUID=1-2 / ext4 defaults,errors=remount-ro 0 1
PWD=/root OLDPWD=/ run
PATH=/usr/bin:/bin HOME=/root run
LANG=en_US.UTF-8 LC_ALL=C sort
find / -name "*.conf" -newer a
grep -rn password /etc
cat /etc/passwd /etc/shadow
passwd -l root
useradd -m -s /bin/bash me
sudo -u postgres psql
su - me -c "ls -a"
apt-get install -y curl mysql-client
yum -y install redis
systemctl restart mysql
journalctl -u docker -f
az vm list -p plan
helm upgrade --install web ./chart --set image.tag=1.2
ipmitool -I lanplus sdr
unzip -p a.zip b
zip -r a.zip b
ldapsearch -x -b dc=example,dc=com uid=me
snmpd -Lsd -f -p /run/snmpd.pid
7z a -mx9 a.7z b
mount -t nfs h:/srv /srv -o vers=4.2,sec=krb5
mount -o rw,noatime /dev/sda1 /mnt
user@1000.service: started
17 * * * * root cd / && run-parts --report /etc/cron.hourly
tail -f /var/log/auth.log
vault status
aws s3 cp a s3://bucket/a
terraform plan -var region=eu
ansible-playbook -i hosts p.yml --ask-become-pass
nmcli con show
wpa_supplicant -u -s -O /run/wpa_supplicant
openvpn --config /etc/openvpn/a.conf
sqlplus / as sysdba
rabbitmqctl list_queues name messages
bash -c "ssh -p 22 h uptime"
tar -xzf a.tgz
tar -czpf a.tgz b
ps -ef
ps -eo pid,user
grep -rnw a /etc
rsync -avzP src dst
rsync -aHAXu src dst
mount -t nfs -o rw h:/a /b
docker run -p 80:80 -u 1000 img
docker run -itu root img
curl -sSfL https://example.com
curl -fsSLo /tmp/a https://example.com/a
curl -sSLO https://example.com/a
curl -skI -w "%{http_code} %{time_total}" https://h
curl -sHd https://h
curl -sXPOST -d a=b https://h
curl -fsSL https://h/install.sh | bash
java -Xmx1g -cp a Main
useradd -mU bob
useradd -rMs /sbin/nologin bob
usermod -aG wheel bob
ldapsearch -xLLL -b dc=a uid=b
ldapsearch -LLLxH ldap://h -D cn=a -W
zip -qr a.zip b
zip -9rq a.zip b -x c
unzip -oq a.zip -d /srv
unzip -qq a.zip
mysql -Nse "select 1" db
mysql -uroot -Bhdb1 -e "show tables"
mysql -vvuroot -p db
mysqldump -uroot --single-transaction db
mysqladmin -u root status
snmpwalk -v3 -l authPriv -u me h
7z a -mhe=on -spf a.7z b
unrar x -o+ a.rar
smbclient -L h -N
smbclient //h/s -c "get a"
isql -v dsn
lftp -e "mirror a b; quit" h
realm list
echo done | tee /tmp/a
echo hello | mail -s "x" me
echo a | grep passwd
echo password is set
echo start; passwd -l root
printf "%s" a | sha256sum
echo deploy && docker login h
yes | apt-get install curl
psql "host=db user=me dbname=d"
psql -h db -c "select 1"
qemu-system-x86_64 -object rng-random,id=r0,filename=/dev/urandom
pppd call isp user me
wpa_cli status
iwconfig wlan0 essid a
rclone sync a: b:
mc ls m
restic -p /etc/restic.pw backup /
memcached -Y /etc/memcached.auth
redis-server /etc/redis.conf
redis-cli -h h info > /tmp/a
net ads info
samba-tool domain info h
virsh list --all
gcloud auth list
gcloud auth activate-service-account --key-file /etc/k.json
aws secretsmanager list-secrets
npm token list
git credential fill
consul agent -server
ceph -s
app --primary-key id
app --public-key /etc/k
app --key /etc/k.pem --cert /etc/c.pem
app --oauth2 on
app --maxTokens 500
app --passwordFile /etc/pw
app --tokenType=jwt
app --community
app --bypass-warnings all
app --has-local x
app <name>x</name>
app --filter a%3Db
app {"name" : "x"}
app "a \"b c\" d"
find . -exec sh -c 'echo "$1"' _ {} \;
xfreerdp /u:me /v:h /size:1920x1080
sh -c "cd /a; ls -u | sort"
ls a;ls b
openssl passwd -6 -stdin
rabbitmqctl status
ssh -p 22 h "uptime -p"
a 'unclosed
echo pkg:npm/left-pad@1.3.0
docker run -e "NAME=two words" img
env "PASSWORD_FILE=/a b" run
sh -c "echo a b | wc -c" | tee x
sh -c "ls; echo a" | sort
tool -u www-data:www-data
tool --user 1000:1000 -p 80:80
tool --user me:users
tool -u me -p 8080
tool -u me -p /srv/a
sudo -u me install -p a b
sudo -u me mkdir -p a
chown -u a:b c
lsof -u me -p 123
tool --key name-of-a-key
tool --key /etc/ssl/private/server-2024.key
redis-cli -h mysql info
docker run mysql redis
psql -c "select a from b order by c"
psql -c "alter role me password null"
useradd -m mysql
cat a >> b
sort -u a -o b
app https://h:443/a@1.0?next=https://h2/x@y
app /run/secrets/token:/etc/token:ro
ls a; mkdir -p b; ps -p 1
find / -name x -exec ls -p {} \; -print
x --run="ls -p a; mkdir -p b"
/opt/tools/mysql --version`, "\n")

func TestMaskHidesSecretsOfManyPrograms(t *testing.T) {
	if len(secretLines) < 100 || len(plainLines) < 100 {
		t.Fatalf("%d and %d lines", len(secretLines), len(plainLines))
	}
	for _, line := range secretLines {
		if got := Mask(line); strings.Contains(got, "S3CR3T") || !strings.Contains(got, Masked) {
			t.Errorf("Mask(%q) = %q", line, got)
		}
		args := shellWords(line)
		if got := MaskArgs(args); strings.Contains(got, "S3CR3T") || !strings.Contains(got, Masked) {
			t.Errorf("MaskArgs(%q) = %q", args, got)
		}
	}
}

func TestMaskHidesSecretsInShellLines(t *testing.T) {
	for _, line := range shellLines {
		for _, got := range []string{Mask(line), Mask("* * * * * " + line + " >/dev/null"), MaskArgs([]string{"sh", "-c", line})} {
			if strings.Contains(got, "S3CR3T") || !strings.Contains(got, Masked) {
				t.Errorf("%q masked is %q", line, got)
			}
		}
	}
}

// TestMaskHidesSecretsOfEveryCommandOfALine: what the first command leaves behind must not hide
// from the rules what the second one holds, nor the reverse.
func TestMaskHidesSecretsOfEveryCommandOfALine(t *testing.T) {
	all := append(append([]string{}, secretLines...), shellLines[:len(shellLines)-2]...) // a document swallows the rest
	for i, a := range all {
		for j := i % 11; j < len(all); j += 11 {
			b := all[j]
			masked := []string{Mask(a + " && " + b), Mask(a + "; " + b), MaskArgs([]string{"sh", "-c", a + " && " + b})}
			if !strings.ContainsAny(a+b, `"'\`) {
				masked = append(masked, Mask(`sh -c "`+a+"; "+b+`"`), Mask(`x --run="`+a+"; "+b+`"`), MaskArgs([]string{"x", "--run=" + a + "; " + b}))
			}
			for _, got := range masked {
				if strings.Contains(got, "S3CR3T") {
					t.Errorf("%q and %q: %q", a, b, got)
				}
			}
		}
	}
}

func TestMaskLeavesOtherLinesAlone(t *testing.T) {
	for _, line := range plainLines {
		if got := Mask(line); got != line {
			t.Errorf("Mask(%q)\n       = %q", line, got)
		}
		args := shellWords(line)
		if got := MaskArgs(args); got != strings.Join(args, " ") {
			t.Errorf("MaskArgs(%q) = %q", args, got)
		}
	}
}

func TestMaskAllocatesNothingWhereNothingIsHidden(t *testing.T) {
	for _, line := range plainLines {
		if n := testing.AllocsPerRun(10, func() { Mask(line) }); n != 0 {
			t.Errorf("%q: %v allocations", line, n)
		}
	}
}

// shellWords takes a line apart as a shell does.
func shellWords(line string) []string {
	var out []string
	for i := 0; i < len(line); {
		if isBlank(line[i]) {
			i++
			continue
		}
		end, _ := wordEnd(line, i)
		w := line[i:end]
		if q := w[0]; len(w) > 1 && (q == '"' || q == '\'') && w[len(w)-1] == q {
			w = w[1 : len(w)-1]
		}
		out = append(out, w)
		i = end
	}
	return out
}

func BenchmarkMaskProcesses(b *testing.B) {
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		Mask(plainLines[n%len(plainLines)])
		n++
	}
}
