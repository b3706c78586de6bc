package excepted

import data.exempt

deny_root contains "root" if input.kind

deny_other contains "other" if input.kind

warn contains "bare" if input.kind

exception contains rules if {
	input.metadata.name in exempt.names
	rules := ["root", ""]
}
