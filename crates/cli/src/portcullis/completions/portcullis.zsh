#compdef portcullis fail2ban-client fail2ban-server fail2ban-regex
# zsh completion for portcullis and for Fail2ban's names. Made by `portcullis completions zsh`.

_portcullis() {
    local line word files=
    local -a found
    for line in "${(@f)$(portcullis complete "${words[1]:t}" "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        word="${line%%$'\t'*}"
        case $word in
            '') ;;
            :files) files=yes ;;
            *) found+=("${word//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( $#found )) && _describe portcullis found
    [[ -n $files ]] && _files
    return 0
}

if [ "$funcstack[1]" = _portcullis ]; then
    _portcullis "$@"
else
    compdef _portcullis portcullis fail2ban-client fail2ban-server fail2ban-regex
fi
