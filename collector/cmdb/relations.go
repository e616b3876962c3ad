package cmdb

// Class is a kind of configuration item.
type Class uint8

// The classes. The numbers are in the state file and are never reused.
const (
	Host            Class = 1
	OperatingSystem Class = 2
	Software        Class = 3
	Service         Class = 4
	NetworkAddress  Class = 5
)

// classes says how each class is named and whether its items belong to one host or
// are shared by the fleet.
var classes = []struct {
	class  Class
	name   string
	shared bool
}{
	{Host, "host", false},
	{OperatingSystem, "operating_system", false},
	{Software, "software", true},
	{Service, "service", false},
	{NetworkAddress, "network_address", false},
}

// Impact says which end of a relation is hit when the other one fails.
type Impact uint8

// The directions of impact.
const (
	HitsSource Impact = 1 // what runs on a thing fails with it
	HitsTarget Impact = 2 // a broken part breaks the whole
)

// RelationID is the number of a relation in the state file, never reused.
type RelationID uint8

// Relation is one kind of relation between items of two classes.
type Relation struct {
	ID          RelationID
	Name        string // from source to target
	Inverse     string // from target to source
	From, To    Class
	Cardinality string // how many sources have how many targets
	Impact      Impact
}

// The relations.
const (
	osRunsOnHost      RelationID = 1
	serviceRunsOnOS   RelationID = 2
	softwarePartOfOS  RelationID = 3
	addressPartOfHost RelationID = 4
)

// relations is the one list of relations; docs/data-model.md shows it to people.
var relations = []Relation{
	{osRunsOnHost, "runs_on", "runs", OperatingSystem, Host, "one to one", HitsSource},
	{serviceRunsOnOS, "runs_on", "runs", Service, OperatingSystem, "many to one", HitsSource},
	{softwarePartOfOS, "part_of", "has_part", Software, OperatingSystem, "many to many", HitsTarget},
	{addressPartOfHost, "part_of", "has_part", NetworkAddress, Host, "many to one", HitsTarget},
}

// Relations returns all relations.
func Relations() []Relation { return append([]Relation(nil), relations...) }

func relationByID(id RelationID) (Relation, bool) {
	for _, r := range relations {
		if r.ID == id {
			return r, true
		}
	}
	return Relation{}, false
}

// String returns the name of the class as it stands in ids.
func (c Class) String() string {
	for _, d := range classes {
		if d.class == c {
			return d.name
		}
	}
	return "unknown"
}

// MarshalText makes classes words in JSON.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// ClassByName finds a class.
func ClassByName(name string) (Class, bool) {
	for _, d := range classes {
		if d.name == name {
			return d.class, true
		}
	}
	return 0, false
}

func (c Class) shared() bool {
	for _, d := range classes {
		if d.class == c {
			return d.shared
		}
	}
	return false
}
