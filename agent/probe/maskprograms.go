package probe

import "strings"

// programOptions say where a program takes secrets, besides options with telling names.
type programOptions struct {
	attached string // letters of options whose value is attached: -px
	apart    string // letters of options whose value is the next word: -p x
	takes    string // letters of the other options that take a value, if letters may be bundled: -sSfu
	long     string // longer names of options, with blanks: "user proxy-user"
	only     string // one of these words must come first: docker login
	after    string // from these words on nth and set count: rabbitmqctl add_user
	nth      int    // from this word that is no option on they are secrets
	slash    bool   // a word is user/password@database
	bare     bool   // a word with a telling name, without hyphen, stands before a secret
	set      bool   // likewise, but only after one of after: npm config set
	spaced   bool   // blanks may stand around the = of a setting
	plus     bool   // a word that begins with + ends that: it is a command
	acl      bool   // a word that begins with > is a password
	says     bool   // it prints its arguments
	runs     bool   // what follows may be another program, by whose options alone it is read
}

// programState is a program that a line names, and how far its words were read.
type programState struct {
	programOptions
	known bool
	words int // that are no options
}

// hasWord reports whether a word is in a list with blanks.
func hasWord(list, word string) bool {
	for list != "" {
		var one string
		if one, list, _ = strings.Cut(list, " "); one == word {
			return true
		}
	}
	return false
}

// optionsOf knows well-known programs. ok is false for all others. It is asked for every
// word of a command line: switches are 30 times as fast as a table, and 4 kB smaller.
func optionsOf(program string) (p programOptions, ok bool) {
	if p, ok = databaseOptions(program); ok {
		return p, ok
	}
	if p, ok = transferOptions(program); ok {
		return p, ok
	}
	if p, ok = accountOptions(program); ok {
		return p, ok
	}
	return serviceOptions(program)
}

// databaseOptions knows clients of databases, queues and stores, and what takes a password as they do.
func databaseOptions(program string) (p programOptions, ok bool) {
	switch program {
	case "mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck", "mysqlshow", "mysqlslap", "mysqlbinlog", "mysqlpump", "mysqlsh", "mysql_upgrade",
		"mariadb", "mariadb-dump", "mariadb-admin", "mariadb-check", "mariadb-import", "mytop", "innobackupex", "xtrabackup", "mariabackup":
		return programOptions{attached: "p", takes: "uhPDSeOwrTi", bare: strings.HasSuffix(program, "admin")}, true // "-p db" asks for the password
	case "yt-dlp", "youtube-dl", "twine", "rdesktop", "cqlsh", "beeline", "mongo", "mongosh", "mycli", "pgcli", "doveadm",
		"mongodump", "mongorestore", "mongoexport", "mongoimport", "mongostat", "mongotop", "ncftp", "ncftpput", "ncftpget", "impala-shell":
		return programOptions{attached: "p", apart: "p", after: "test", nth: 2}, true
	case "redis-cli", "valkey-cli", "keydb-cli", "redis-server", "valkey-server":
		return programOptions{apart: "a", bare: true, acl: true, after: "auth AUTH", nth: 1}, true
	case "isql", "iusql":
		return programOptions{attached: "P", apart: "P", takes: "USDdmlio", nth: 3}, true
	case "sqlcmd", "bcp", "tsql", "mosquitto_pub", "mosquitto_sub", "fisql":
		return programOptions{attached: "P", apart: "P", takes: "UHSDdioqQhtbnxpIL"}, true
	case "consul", "nomad", "serf":
		return programOptions{long: "encrypt"}, true
	case "ceph", "rbd", "rados", "cephfs", "ceph-fuse":
		return programOptions{long: "key"}, true
	case "etcdctl":
		return programOptions{long: "user"}, true
	case "sqlplus", "sqlldr", "exp", "imp", "expdp", "impdp", "rman", "tnsping":
		return programOptions{slash: true}, true
	case "mosquitto_passwd":
		return programOptions{nth: 3}, true
	case "nodetool":
		return programOptions{long: "pw"}, true
	case "rabbitmqctl":
		return programOptions{after: "add_user change_password authenticate_user", nth: 2}, true
	case "psql", "pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup", "pg_isready":
		return programOptions{spaced: true}, true
	}
	return programOptions{}, false
}

// transferOptions knows what moves, packs or encrypts data, and what works on machines far away.
func transferOptions(program string) (p programOptions, ok bool) {
	switch program {
	case "7z", "7za", "7zr", "7zz":
		return programOptions{attached: "p"}, true
	case "rar", "unrar":
		return programOptions{attached: "ph"}, true // -hpx
	case "curl":
		return programOptions{attached: "uUEb", apart: "uUbE", takes: "AcCdDeFhHKmoPQrtTwxXyYz", long: "user proxy-user cert proxy-cert"}, true
	case "http", "https", "xh":
		return programOptions{apart: "a", attached: "a", takes: "psoA"}, true
	case "sshpass":
		return programOptions{attached: "p", apart: "p", takes: "fdPe", runs: true}, true
	case "openssl":
		return programOptions{apart: "kK", after: "passwd", nth: 1}, true
	case "zip", "unzip", "zipinfo":
		return programOptions{attached: "P", apart: "P", takes: "dxibnts"}, true
	case "ipmitool":
		return programOptions{attached: "P", apart: "PKky", takes: "IHpULACfeotS", after: "password", nth: 1}, true
	case "snmpwalk", "snmpget", "snmpgetnext", "snmpset", "snmpbulkwalk", "snmpbulkget", "snmptrap", "snmptable", "snmpstatus", "snmpinform":
		return programOptions{attached: "cAX", apart: "cAX", takes: "3YmMOIPDvrtZeEnulxaTsSLC", long: "3m 3M 3k 3K"}, true
	case "lftp", "open":
		return programOptions{attached: "u", apart: "u", takes: "pefc"}, true
	case "iscsiadm":
		return programOptions{apart: "v", long: "value"}, true
	case "plink", "pscp", "psftp":
		return programOptions{long: "pw"}, true
	case "swaks":
		return programOptions{long: "ap"}, true
	case "sendEmail", "sendemail":
		return programOptions{long: "xp"}, true
	case "xfreerdp", "wlfreerdp", "xfreerdp3", "wlfreerdp3", "sdl-freerdp", "sdl-freerdp3", "freerdp":
		return programOptions{attached: "p", apart: "p", long: "p gp pth"}, true
	case "expect":
		return programOptions{attached: "c", apart: "c", takes: "f"}, true // a script, which sends what is asked for
	case "steamcmd", "steamcmd.sh":
		return programOptions{after: "+login", nth: 2, plus: true}, true
	case "ss-server", "ss-local", "ss-redir", "ss-tunnel", "ss-manager", "ss-nat", "ssserver", "sslocal", "ssmanager":
		return programOptions{attached: "k", apart: "k", takes: "spclmtbfaniLN"}, true
	case "mc", "mcli":
		return programOptions{after: "set add", nth: 3}, true
	case "rclone":
		return programOptions{bare: true, long: "obscure"}, true
	}
	return programOptions{}, false
}

// accountOptions knows what makes and asks accounts, directories, names and networks.
func accountOptions(program string) (p programOptions, ok bool) {
	switch program {
	case "useradd", "usermod":
		return programOptions{attached: "p", apart: "p", takes: "PbcdefgGksuRlZ"}, true
	case "ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami", "ldapcompare", "ldapmodrdn", "ldapexop", "kadmin", "kadmin.local", "vsql":
		return programOptions{attached: "w", apart: "w", takes: "abdDeEfFhHlopPsSTUXyYzRqrckdt"}, true
	case "ldappasswd", "slappasswd":
		return programOptions{attached: "was", apart: "was", takes: "dDeEfhHoOpPTtUXyYRc"}, true
	case "smbclient":
		return programOptions{attached: "U", apart: "U", takes: "RLMITDcbpmdslOnWAit", long: "user", nth: 2}, true
	case "rpcclient", "smbget", "smbcacls", "smbtree", "smbpasswd", "winexe", "wmic", "realm", "pdbedit":
		return programOptions{attached: "U", apart: "U", long: "user"}, true
	case "net":
		return programOptions{attached: "U", apart: "U", long: "user", after: "user use", nth: 2}, true
	case "samba-tool":
		return programOptions{attached: "U", apart: "U", long: "user", after: "create add", nth: 2}, true
	case "wbinfo":
		return programOptions{apart: "aK", long: "authenticate krb5auth"}, true
	case "wpa_passphrase", "htpasswd":
		return programOptions{nth: 2}, true
	case "mkpasswd":
		return programOptions{nth: 1, takes: "mSRPl"}, true
	case "ejabberdctl", "prosodyctl":
		return programOptions{after: "register change_password", nth: 3}, true
	case "grafana-cli", "grafana":
		return programOptions{after: "reset-admin-password", nth: 1}, true
	case "ssh-keygen":
		return programOptions{attached: "NP", apart: "NP", takes: "CDEFIMORVWYZabfjmnrstwz"}, true
	case "ipa-server-install":
		return programOptions{attached: "pa", apart: "pa", takes: "nr"}, true
	case "ipa-replica-install", "ipa-ca-install", "ipa-kra-install":
		return programOptions{attached: "pw", apart: "pw", takes: "nrP"}, true
	case "dsconf", "dsctl", "dsidm", "ipa-client-install", "odoo", "odoo-bin":
		return programOptions{attached: "w", apart: "w", takes: "Dbypdrcius"}, true
	case "dig", "kdig", "nsupdate", "knsupdate":
		return programOptions{attached: "y", apart: "y", takes: "bcfkmpqtxrup"}, true // the key itself
	case "pihole":
		return programOptions{apart: "p"}, true
	case "radtest":
		return programOptions{nth: 2, takes: "tPdD"}, true
	case "virsh":
		return programOptions{long: "base64", after: "secret-set-value set-user-password", nth: 2}, true
	case "nmcli", "wpa_cli", "pppd", "vncviewer", "teamviewer":
		return programOptions{bare: true}, true
	case "iwconfig":
		return programOptions{bare: true, long: "key enc"}, true
	}
	return programOptions{}, false
}

// serviceOptions knows clients of services and clouds, and programs that run others.
func serviceOptions(program string) (p programOptions, ok bool) {
	switch program {
	case "docker", "podman", "nerdctl", "buildah", "helm", "oc", "cf", "az", "ibmcloud", "crane", "oras":
		return programOptions{attached: "p", apart: "p", takes: "e", only: "login", runs: true}, true // -e was an address of mail
	case "doctl":
		return programOptions{attached: "t", apart: "t", takes: "cuo"}, true
	case "vault", "bao":
		return programOptions{after: "login unseal unwrap lookup renew revoke", nth: 1}, true
	case "aws", "git", "npm", "yarn", "pnpm":
		return programOptions{set: true, after: "set config configure", runs: true}, true
	case "gcloud":
		return programOptions{set: true, after: "set", long: "key"}, true
	case "echo", "printf", "yes":
		return programOptions{says: true, runs: true}, true
	case "ssh", "nginx", "mkdir", "cp", "ps", "sudo", "runuser", "chown":
		return programOptions{runs: true}, true // they have none
	}
	return programOptions{}, false
}
