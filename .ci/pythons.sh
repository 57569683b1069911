# shellcheck shell=bash
# Finds the Pythons of this machine; sourced by run and refresh-constraints.

# Prints "VERSION PATH" for every Python 3 that starts, oldest first, each once.
pythons() {
    local candidate
    {
        if command -v pyenv > /dev/null; then
            local root
            root="$(pyenv root)"
            pyenv versions --bare | sed "s|.*|$root/versions/&/bin/python|"
        fi
        compgen -c python3. | grep -E '^python3\.[0-9]+$' | xargs -r which -a
        which -a python3
    } 2> /dev/null | while read -r candidate; do
        "$candidate" -c \
            'import sys, venv; print(".".join(map(str, sys.version_info[:2])), sys.executable)' \
            2> /dev/null || true
    done | sort -V | awk '!seen[$1]++'
}

# Prints the path of the Python of version $1, nothing where there is none.
python_of() {
    pythons | awk -v wanted="$1" '$1 == wanted { print $2; exit }'
}
