-- Moves the name of a field that could not be read from the words about it to where clients look for it, and takes out of such
-- words what might be a card number.
-- Before this code: UNREAD, the header that marks such a reply, and KINDS: type that the transcoder names -> what a value of
-- it must be.
local match, sub = string.match, string.sub
local NAME_BYTES = 100

-- What the transcoder says, escaped as JSON has it, and how much of it is told: what the client sent may stand in it.
local SAID_BYTES, PATH_BYTES = 300, 150
local NO_VALUE = "^([%w_%.%[%]%*]+): invalid value .* for type ([%w_%./]+)$"
local NO_FIELD = '^Could not find field \\"([%w_%.%-%*%[%]]+)\\"'
local TWO_OF_ONE = "^: invalid value oneof field .- Cannot set .([%w_]+)"
local NAMED = {
  "^the header ([%w_.-]+) ",
  '^Encountered a non%-leaf field \\"([%w_%.]+)\\"',
  "^The binding value [^{}]- of the field ([%w_%.]+) is conflicting",
}

local CARD_DIGITS, SHOWN_DIGITS = 13, 4

local function masked(text)
  -- A query's field is named as the URL spells it.
  text = string.gsub(string.gsub(text, "(%d)%%20", "%1 "), "(%d)%%2[dD]", "%1-")
  return (string.gsub(text, "%d[%d %+%-]+", function(run)
    local _, digits = string.gsub(run, "%d", "")
    if digits < CARD_DIGITS then return run end
    return (string.gsub(run, "%d", "*", digits - SHOWN_DIGITS))
  end))
end

local function camel(field)
  return (string.gsub(field, "_(%w)", string.upper))
end

local function shortened(said)
  if #said <= SAID_BYTES then return said end
  said = string.gsub(sub(said, 1, SAID_BYTES), "[\192-\255]?[\128-\191]*$", "")
  said = string.gsub(said, "\\u%x?%x?%x?$", "")
  local slashes = match(said, "\\*$")
  return (#slashes % 2 == 1 and sub(said, 1, -2) or said) .. "…"
end

-- The field that such words are about ("" for none), what is wrong with it, and both in a sentence.
local function told(said)
  local function about(field, words)
    return field, words, field .. ": " .. words
  end
  local field, kind = match(said, NO_VALUE)
  if field then return about(camel(field), KINDS[kind] or "cannot be read") end
  field = match(said, NO_FIELD)
  if field then return about(masked(sub(field, 1, NAME_BYTES)), "there is no such field") end
  field = match(said, TWO_OF_ONE)
  if field then return about(camel(field), "cannot be set beside another of its kind") end
  local words
  field, words = match(said, "^([%w_%.%[%]%*-]+): (.*)$")
  if field then return about(masked(sub(field, 1, PATH_BYTES)), shortened(masked(words))) end
  words = shortened(masked(said))
  for _, pattern in ipairs(NAMED) do
    field = match(said, pattern)
    if field then return masked(sub(field, 1, NAME_BYTES)), words, words end
  end
  return "", words, words
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get(":status") ~= "400" or not headers:get(UNREAD) then return end
  headers:remove(UNREAD)
  local body = handle:body()
  if not body then
    -- To HEAD: the length is of words that are not told so.
    headers:remove("content-length")
    return
  end
  local before, after, said, rest =
    match(body:getBytes(0, body:length()), '^(.*"description":").*("}%]}%],"message":")(.*)("}%s*)$')
  if not said then return end
  local field, words, message = told(said)
  if field ~= "" then before = string.gsub(before, '"description":"$', '"field":"' .. field .. '","description":"') end
  body:setBytes(before .. words .. after .. message .. rest)
end
