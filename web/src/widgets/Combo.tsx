import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { t } from "../i18n";
import { Icon } from "./icons";
import { matching, type Option } from "./options";
import { Popup } from "./Popup";
import { Trouble } from "./Trouble";

const PAGE = 8;

interface ComboProps<T> {
  id: string;
  options: readonly Option<T>[];
  /** The text of what is set; it need not be among the options. */
  shown: string;
  /** Marks the option that is set. */
  selected: (value: T) => boolean;
  disabled: boolean;
  placeholder?: string;
  trouble?: string | null;
  /** What is said when there is nothing to choose from. */
  none: string;
  /** Offers what was typed itself, where the options aren't all there is. */
  asTyped?(text: string): Option<T> | null;
  onPick(value: T): void;
  onOpen?(): void;
}

/** Choose from a list that typing narrows down; ARIA's combobox pattern with its list as a popup. */
export function Combo<T>(props: ComboProps<T>) {
  const {
    id,
    options,
    shown,
    selected,
    disabled,
    placeholder = "",
    trouble = null,
    none,
    asTyped,
    onPick,
    onOpen,
  } = props;
  const field = useRef<HTMLInputElement>(null);
  const [isOpen, setOpen] = useState(false);
  const [typed, setTyped] = useState<string | null>(null);
  const [active, setActive] = useState(0);
  const own = typed === null || typed.trim() === "" ? null : (asTyped?.(typed.trim()) ?? null);
  const found = [...matching(options, typed ?? ""), ...(own === null ? [] : [own])];
  const at = Math.min(active, found.length - 1);

  function open(): void {
    if (disabled || isOpen) return;
    onOpen?.();
    setOpen(true);
    setActive(
      Math.max(
        0,
        options.findIndex((option) => selected(option.value)),
      ),
    );
  }

  function close(): void {
    setOpen(false);
    setTyped(null);
  }

  function pick(option: Option<T> | undefined): void {
    if (option === undefined) return;
    close();
    if (!selected(option.value)) onPick(option.value);
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey) return;
    if (!isOpen) {
      if (["ArrowDown", "ArrowUp", "Enter"].includes(event.key)) {
        event.preventDefault();
        open();
      }
      return;
    }
    const last = found.length - 1;
    const to = {
      ArrowDown: at >= last ? 0 : at + 1,
      ArrowUp: at <= 0 ? last : at - 1,
      PageDown: Math.min(last, at + PAGE),
      PageUp: Math.max(0, at - PAGE),
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      setActive(to);
    } else if (event.key === "Enter") {
      event.preventDefault();
      pick(found[at]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
  }

  return (
    <div
      className="w w-combo nokey"
      data-settled={typed === null || undefined}
      data-invalid={trouble !== null || undefined}
    >
      <input
        ref={field}
        id={id}
        type="text"
        role="combobox"
        autoComplete="off"
        spellCheck={false}
        disabled={disabled}
        placeholder={placeholder}
        value={typed ?? shown}
        title={typed === null ? shown : undefined}
        aria-expanded={isOpen}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={isOpen && at >= 0 ? `${id}-option${at}` : undefined}
        aria-invalid={trouble !== null}
        aria-describedby={trouble === null ? undefined : `${id}-trouble`}
        onFocus={(event) => event.target.select()}
        onClick={() => {
          open();
          field.current?.select();
        }}
        onBlur={close}
        onChange={(event) => {
          open();
          setTyped(event.target.value);
          setActive(0);
        }}
        onKeyDown={onKeyDown}
      />
      <Icon name="chevron" />
      {isOpen && (
        <Popup anchor={field} className="w-list" wide onLeave={close}>
          <OptionList
            id={id}
            options={found}
            active={at}
            selected={selected}
            none={options.length === 0 ? none : t("widgets.noneFound", { text: typed ?? "" })}
            onPick={pick}
          />
        </Popup>
      )}
      <Trouble id={`${id}-trouble`} anchor={field} text={isOpen ? null : trouble} />
    </div>
  );
}

interface OptionListProps<T> {
  id: string;
  options: readonly Option<T>[];
  active: number;
  selected: (value: T) => boolean;
  none: string;
  onPick(option: Option<T>): void;
}

function OptionList<T>({ id, options, active, selected, none, onPick }: OptionListProps<T>) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    list.current?.children[active]?.scrollIntoView?.({ block: "nearest" });
  }, [active]);
  return (
    <>
      <div ref={list} id={`${id}-list`} role="listbox" aria-label={t("widgets.choices")} className="nowheel">
        {options.map((option, at) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field's keys choose, the focus stays there
          // biome-ignore lint/a11y/useFocusableInteractive: as above
          <div
            key={option.label}
            id={`${id}-option${at}`}
            role="option"
            aria-selected={selected(option.value)}
            data-active={at === active || undefined}
            // the field would lose the focus and close the list before the click
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => onPick(option)}
          >
            <span>{option.label}</span>
            {option.hint !== undefined && <small>{option.hint}</small>}
          </div>
        ))}
      </div>
      {options.length === 0 && (
        <p className="w-none" role="status">
          {none}
        </p>
      )}
    </>
  );
}
